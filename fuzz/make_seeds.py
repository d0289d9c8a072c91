#!/usr/bin/env python3
"""Writes fuzz/seeds/ from the golden vectors: each value whole, cut short, longer and damaged.

A run of a fuzzer begins with these, and `cargo test` replays them.
"""
import json
import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "..", "tests", "vectors")
SEED_BYTES_MAX = 4096


def load(name):
    with open(os.path.join(VECTORS, name)) as file:
        return json.load(file)


def write(target, name, data):
    if len(data) > SEED_BYTES_MAX:
        return
    folder = os.path.join(HERE, "seeds", target)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as file:
        file.write(data)


def write_damaged(target, name, data, from_byte=0):
    """The value and four that are none, or another."""
    write(target, name, data)
    at = from_byte + (len(data) - from_byte) // 2
    if len(data) > from_byte + 1:
        write(target, name + "-cut", data[:at])
        write(target, name + "-flipped", data[:at] + bytes([data[at] ^ 0x80]) + data[at + 1:])
        write(target, name + "-huge", data[:from_byte] + b"\xff" * 8 + data[from_byte + 8:])
    write(target, name + "-longer", data + b"\0")


golden = load("golden/golden.json")
for name, transaction in golden["transactions"].items():
    write_damaged("transaction", name, bytes.fromhex(transaction["bytes"]))
for name, block in golden["blocks"].items():
    write_damaged("block", name, bytes.fromhex(block))
for name, genesis in golden["genesis"].items():
    write_damaged("genesis", name, bytes.fromhex(genesis["bytes"]))
for message in load("wire/messages.json"):
    engine = 0x80 if message["engine"] == 2 else 0
    data = bytes([message["type"] | engine]) + bytes.fromhex(message["bytes"])
    name = message["name"].lower().replace(" ", "-") + ("-stake" if engine else "")
    write_damaged("message", name, data, 1)


def segment(kind, lane, flags, total, part):
    return struct.pack("<BBBBIH", kind, lane, flags, 0, total, len(part)) + part


def frames(*texts):
    return b"\1" + b"".join(struct.pack("<H", len(text)) + text for text in texts)


messages = {message["name"]: message for message in load("wire/messages.json")}
HELLO = bytes.fromhex(messages["HELLO"]["bytes"])
READY = bytes.fromhex(messages["READY"]["bytes"])
hello, ready = segment(0, 0, 3, len(HELLO), HELLO), segment(1, 0, 3, len(READY), READY)
ping = segment(2, 0, 3, 8, bytes(8))
FRAMES = {
    "greetings": frames(hello + ready),
    "a-frame-each": frames(hello, ready, ping, ping),
    "a-message-in-parts": frames(hello + ready, segment(0x40, 3, 1, 34, bytes(20)),
                                 segment(0x40, 3, 2, 34, bytes(14))),
    "two-lanes-at-once": frames(hello + ready + segment(0x40, 3, 1, 34, bytes(20)) + ping
                                + segment(0x40, 3, 2, 34, bytes(14))),
    "no-greeting": frames(ping),
    "two-hellos": frames(hello + hello),
    "too-long": frames(hello + ready + segment(2, 0, 1, 9, bytes(9))),
    "wrong-lane": frames(hello + ready + segment(2, 3, 3, 8, bytes(8))),
    "other-total": frames(hello + ready, segment(0x40, 3, 1, 34, bytes(20))
                          + segment(0x40, 3, 2, 35, bytes(15))),
    "unknown-odd": frames(hello + ready + segment(0x7f, 0, 3, 1, b"x")),
    "unknown-even": frames(hello + ready + segment(0x7e, 0, 3, 1, b"x")),
    "credit": frames(hello + ready + segment(6, 0, 3, 8, b"\2\0\0\0\xff\xff\xff\xff")),
    "cut-in-a-frame": frames(hello + ready, ping)[:-5],
    "raw-nothing": b"\0",
    "raw-zeros": bytes(1 + 48),
    "raw-much": b"\0" + b"\xff" * 600,
}
for name, data in FRAMES.items():
    write("frame", name, data)

REQUESTS = {
    "get": b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:5336\r\n\r\n",
    "post": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]",
    "two": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 2,
    "expect": b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
              b"Content-Length: 4\r\n\r\nnull",
    "two-lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                   b"Content-Length: 3\r\n\r\n[]",
    "length-and-chunks": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare-newline": b"GET / HTTP/1.1\nHost: localhost\n\n",
    "folded": b"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
    "space-before-colon": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length : 2\r\n\r\n[]",
    "foreign-host": b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    "origin": b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n",
    "huge-length": b"POST / HTTP/1.1\r\nHost: localhost\r\n"
                   b"Content-Length: 18446744073709551616\r\n\r\n",
    "closing": b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n",
    "long-head": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 4000,
}
for name, request in REQUESTS.items():
    write("http_request", name, request)


def damage(log, place, byte):
    return bytes([log]) + place.to_bytes(2, "little") + bytes([byte])


DAMAGES = {
    "none": b"",
    "first-header": damage(0, 0, 0),
    "a-body": damage(0, 500, 0xee),
    "a-length": damage(0, 120, 0xff),
    "the-tail": b"".join(damage(0, place, 0xff) for place in range(2300, 2316)),
    "behind-the-end": b"".join(damage(1, place, 0x4b) for place in range(3000, 3032)),
    "both-logs": damage(0, 700, 1) + damage(1, 300, 2),
    "a-false-magic": b"".join(damage(1, 900 + i, b) for i, b in enumerate(b"KEL1\x01\x07")),
}
for name, damages in DAMAGES.items():
    write("log_recovery", name, damages)
