"""Writes messages.json: the bytes of one message of each type, laid out by hand.

Standard library only, and nothing shared with the node: the layouts are those of docs/protocol.md
and docs/formats.md. Run it in this folder; its output is committed.
"""
import json
import struct

u8, u16, u32, u64 = (lambda f: lambda n: struct.pack(f, n))("<B"), *[
    (lambda f: lambda n: struct.pack(f, n))(f) for f in ("<H", "<I", "<Q")]


def fill(byte, count=32):
    return bytes([byte]) * count


def vec(items):
    return u16(len(items)) + b"".join(items)


ADDRESS = u8(1) + u8(0) + u16(8433) + bytes([127, 3, 4, 1]) + bytes(28)
TOR = u8(4) + u8(0) + u16(9) + fill(0x74)
RECORD = (u8(1) + u8(1) + u8(0) + u8(0) + u64(7) + u64(1_700_000_000_000) + u64(9)
          + fill(0x11) + fill(0x22) + ADDRESS + fill(0x33, 64))
VOUCHED = (u8(1) + u8(2) + u8(1) + u8(0) + u64(8) + u64(1_700_000_000_001) + u64(2)
           + fill(0x12) + fill(0x23) + ADDRESS + TOR
           + fill(0x44) + u64(1_700_000_000_002) + fill(0x55, 64) + fill(0x34, 64))


def sized(record):
    return u16(len(record)) + record


def common(engine):
    return (u16(1) + u8(engine) + u8(0) + u64(12) + fill(0xa0) + u64(1_700_000_000_000)
            + fill(0xa1) + fill(0xa2) + fill(0xa3) + u64(1_000) + fill(0xa4) + u32(4_242))


WORK = common(1) + u32(0x1f040000) + u64(0x0102030405060708)
STAKE = common(2) + u64(3) + u16(4) + fill(0xb0) + fill(0xb1)
TRANSFER = (u8(1) + u64(5) + u64(300) + u64(0) + u8(1)
            + u8(1) + fill(0xc0) + u64(1_000_000)
            + u8(0) + fill(0xc1) + fill(0xc2, 64))
DATA = (u8(1) + u64(6) + u64(301) + u64(99) + u8(1)
        + u8(2) + u16(5) + b"hello"
        + u8(1) + u8(1) + u8(2) + fill(0xd0) + fill(0xd1) + u16(2) + fill(0xd2, 64))
assert (len(RECORD), len(VOUCHED), len(WORK), len(STAKE), len(TRANSFER)) == (192, 332, 204, 266, 164)
REQ = u32(0x01020304)
HELLO = (u16(1) + u16(1) + u8(2) + u8(0) + u16(8433) + u64(0x28a) + u64(9) + u64(77) + fill(0xe0)
         + u64(0x1112131415161718) + u64(0x2122232425262728) + u64(1_700_000_000_003) + ADDRESS
         + u8(10) + b"keel/0.1.0")

MESSAGES = [
    # name, type, lanes, most bytes with proof of work, most bytes with proof of stake, engine, bytes
    ("HELLO", 0x00, [0], 189, 189, 1, HELLO),
    ("READY", 0x01, [0], 8, 8, 1, u64(0x28a)),
    ("PING", 0x02, [0], 8, 8, 1, u64(0x0102030405060708)),
    ("PONG", 0x03, [0], 8, 8, 1, u64(0x0102030405060708)),
    ("BYE", 0x04, [0], 66, 66, 1, u8(3) + u8(8) + b"too slow"),
    ("CREDIT", 0x06, [0], 8, 8, 1, u8(5) + bytes(3) + u32(65_536)),
    ("FIND_NODE", 0x10, [4], 40, 40, 1, REQ + u8(16) + bytes(3) + fill(0xf0)),
    ("NODES", 0x11, [4], 6_502, 6_502, 1, REQ + vec([sized(RECORD), sized(VOUCHED)])),
    ("GET_ADDRS", 0x12, [4], 4, 4, 1, REQ),
    ("ADDRS", 0x13, [4], 25_990, 25_990, 1, REQ + vec([sized(VOUCHED)])),
    ("GET_RECORD", 0x14, [4], 4, 4, 1, REQ),
    ("RECORD", 0x15, [4], 410, 410, 1, REQ + sized(RECORD)),
    ("GET_HEADERS", 0x20, [2, 5], 1_064, 1_064, 1,
     REQ + u16(2_000) + fill(0xf1) + vec([fill(0xf2), fill(0xf3)])),
    ("HEADERS", 0x21, [2, 5], 408_006, 532_006, 1, REQ + vec([WORK, WORK])),
    ("HEADERS", 0x21, [2, 5], 408_006, 532_006, 2, REQ + vec([STAKE])),
    ("ANNOUNCE", 0x22, [1], 2_130, 2_130, 1, vec([WORK])),
    ("ANNOUNCE", 0x22, [1], 2_130, 2_130, 2, vec([STAKE, STAKE])),
    ("GET_BLOCKS", 0x2c, [2, 5], 518, 518, 1, REQ + vec([fill(0xf4)])),
    ("BLOCK", 0x2e, [2, 5], 4_194_304, 4_194_304, 1, REQ + WORK + u32(1) + TRANSFER),
    ("BLOCK", 0x2e, [2, 5], 4_194_304, 4_194_304, 2, REQ + STAKE + u32(0) + bytes(89)),
    ("NOT_FOUND", 0x30, [2, 3, 5], 4_102, 4_102, 1, REQ + vec([fill(0xf5), fill(0xf6)])),
    ("TX_INV", 0x40, [3], 16_386, 16_386, 1, vec([fill(0xf7), fill(0xf7), fill(0xf8)])),
    ("GET_TX", 0x42, [3], 4_102, 4_102, 1, REQ + vec([fill(0xf9)])),
    ("TXS", 0x44, [3], 131_072, 131_072, 1, REQ + vec([TRANSFER, DATA])),
    ("FEE_FILTER", 0x4e, [0], 8, 8, 1, u64(1_000)),
]

with open("messages.json", "w") as out:
    json.dump([{"name": name, "type": kind, "lanes": lanes, "max_work": work, "max_stake": stake,
                "engine": engine, "bytes": data.hex()}
               for name, kind, lanes, work, stake, engine, data in MESSAGES], out, indent=1)
    out.write("\n")
