#!/usr/bin/env python3
"""Reads a chain as docs/formats.md describes it, and believes nothing that it can compute.

    keel_reader.py EXPORT [PROOF ...]    check an export, then proofs under headers of it
    keel_reader.py --self-check          check the golden files beside the tests

Written from docs/ alone, with Python's standard library only. It recomputes ids, roots, fees,
targets and work; it does not check signatures and does not execute transactions. Exit code 1 and
a reason when something does not agree.
"""
import hashlib
import os
import struct
import sys


class Mismatch(Exception):
    """The bytes do not agree with the formats."""


def require(holds, reason):
    if not holds:
        raise Mismatch(reason)


def H(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


class Reader:
    """A cursor over bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        require(self.at + count <= len(self.data), f"ends at byte {len(self.data)}, too early")
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, layout):
        values = struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))
        return values[0] if len(values) == 1 else values

    def done(self):
        return self.at == len(self.data)

    def zeros(self, count, what):
        require(self.take(count) == bytes(count), f"{what} is not zero")


# --- genesis ---
GENESIS_FIELDS = [
    ("format", "H"), ("engine", "B"), ("profile", "B"), ("name", "16s"), ("hrp", "8s"),
    ("time", "Q"), ("interval_ms", "I"), ("half_life_ms", "Q"), ("max_block_weight", "I"),
    ("max_tx_bytes", "I"), ("max_ops", "H"), ("max_data", "H"), ("base_fee_initial", "Q"),
    ("base_fee_min", "Q"), ("account_fee", "Q"), ("reward_kind", "B"), ("decimals", "B"),
    ("proposer_bp", "H"), ("maturity", "I"), ("reward_initial", "Q"), ("reward_interval", "Q"),
    ("reward_tail", "Q"), ("pow_bits", "I"), ("pow_limit", "I"), ("epoch_blocks", "I"),
    ("unbonding_epochs", "I"), ("unbonding_ms", "Q"), ("trust_ms", "Q"), ("min_stake", "Q"),
    ("delta_ms", "I"), ("window_views", "H"), ("max_validators", "H"), ("churn_bp", "H"),
    ("slash_bp", "H"), ("reporter_bp", "H"), ("id_puzzle_bits", "B"), ("zero", "B"),
    ("heartbeat_ms", "I"), ("n_operators", "H"), ("n_validators", "H"), ("n_allocations", "I"),
]  # fmt: skip


def read_genesis(data):
    r = Reader(data)
    genesis = {name: r.unpack(layout) for name, layout in GENESIS_FIELDS}
    require(r.at == 184, "the fixed part of a genesis has 184 bytes")
    require(genesis["format"] == 1 and genesis["zero"] == 0, "genesis: format or zero")
    require(genesis["engine"] in (1, 2) and genesis["profile"] <= 3, "genesis: engine or profile")
    genesis["operators"] = [r.take(32) for _ in range(genesis["n_operators"])]
    genesis["validators"] = [r.unpack("32s32sQ") for _ in range(genesis["n_validators"])]
    genesis["allocations"] = [r.unpack("32sQ") for _ in range(genesis["n_allocations"])]
    require(r.done(), "genesis: trailing bytes")
    for name in ("operators", "validators", "allocations"):
        keys = [item if isinstance(item, bytes) else item[0] for item in genesis[name]]
        require(all(a < b for a, b in zip(keys, keys[1:])), f"genesis: {name} do not ascend")
    genesis["id"] = H(b"keel/genesis/1", data)
    return genesis


# --- transactions ---
def read_transaction(r, genesis_id):
    start = r.at
    version, nonce, fee, expiry, n_ops = r.unpack("BQQQB")
    require(version == 1 and 1 <= n_ops <= 64, "transaction: version or number of ops")
    ops = []
    for _ in range(n_ops):
        kind = r.unpack("B")
        if kind == 1:
            to, amount = r.unpack("32sQ")
            require(amount > 0, "transfer of nothing")
            ops.append(("transfer", to, amount))
        elif kind == 2:
            length = r.unpack("H")
            require(1 <= length <= 1024, "data of no or too many bytes")
            ops.append(("data", r.take(length)))
        else:
            raise Mismatch(f"op {kind:#04x} is reserved or unknown")
    auth = r.at
    kind, signatures = r.unpack("B"), 1
    if kind == 0:
        r.take(32)
        descriptor = r.data[auth : r.at]
    else:
        require(kind == 1, f"auth kind {kind} is reserved or unknown")
        signatures, n = r.unpack("BB")
        require(2 <= n <= 16 and 1 <= signatures <= n, "m-of-n: numbers")
        keys = [r.take(32) for _ in range(n)]
        require(all(a < b for a, b in zip(keys, keys[1:])), "m-of-n: keys do not ascend")
        descriptor = r.data[auth : r.at]
        signers = r.unpack("H")
        require(signers >> n == 0 and bin(signers).count("1") == signatures, "m-of-n: signers")
    r.take(64 * signatures)
    data = r.data[start : r.at]
    return {
        "nonce": nonce, "fee": fee, "expiry": expiry, "ops": ops, "size": len(data),
        "account": H(b"keel/acct/1", descriptor),
        "txid": H(b"keel/tx/1", genesis_id, r.data[start:auth], descriptor),
        "wtxid": H(b"keel/wtx/1", data),
        "weight": len(data) + 36 * signatures,
    }  # fmt: skip


# --- headers and blocks ---
HEADER_FIELDS = [
    ("version", "H"), ("engine", "B"), ("flags", "B"), ("height", "Q"), ("parent_id", "32s"),
    ("time", "Q"), ("tx_root", "32s"), ("state_root", "32s"), ("history_root", "32s"),
    ("base_fee", "Q"), ("beneficiary", "32s"), ("parent_weight", "I"),
]  # fmt: skip
WORK_SEAL = [("bits", "I"), ("nonce", "Q")]
STAKE_SEAL = [
    ("epoch", "Q"), ("proposer", "H"), ("next_validators_root", "32s"), ("parent_bitmap", "32s"),
]  # fmt: skip


def read_header(r, engine):
    start = r.at
    header = {name: r.unpack(layout) for name, layout in HEADER_FIELDS}
    require(header["version"] == 1 and header["flags"] == 0, "header: version or flags")
    require(header["engine"] == engine, "header: engine is not the chain's")
    seal = WORK_SEAL if engine == 1 else STAKE_SEAL
    header.update((name, r.unpack(layout)) for name, layout in seal)
    header["id"] = H(H(r.data[start : r.at]))
    header["work"] = 2**256 // (target_of(header["bits"]) + 1) if engine == 1 else 0
    return header


def read_block(data, genesis):
    r = Reader(data)
    header = read_header(r, genesis["engine"])
    txs = [read_transaction(r, genesis["id"]) for _ in range(r.unpack("I"))]
    if genesis["engine"] == 2:
        kind, _epoch, _view, _parent_view, block_id, bitmap = r.unpack("BQQQ32s32s")
        if kind == 0:
            require(r.data[r.at - 89 : r.at] == bytes(89), "certificate of genesis is not zero")
        else:
            require(kind in (1, 3) and block_id == header["parent_id"], "certificate: not the parent's")
            r.take(64 * bin(int.from_bytes(bitmap, "little")).count("1"))
        require(bitmap == header["parent_bitmap"], "certificate: bitmap is not the header's")
    require(r.done(), "block: trailing bytes")
    return header, txs


# --- trees ---
def merkle_root(leaves):
    level = [H(b"\0", leaf) for leaf in leaves]
    if not level:
        return H()
    while len(level) > 1:
        pairs = [H(b"\1", *level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0]


def entry_of(header):
    work = header["work"].to_bytes(32, "little")
    return header["id"] + work + struct.pack("<QQ", header["time"], header["time"])


def entry_above(left, right):
    work = int.from_bytes(left[32:64], "little") + int.from_bytes(right[32:64], "little")
    work = min(work, 2**256 - 1).to_bytes(32, "little")
    return H(b"keel/mmr/node/1", left, right) + work + left[64:72] + right[72:80]


def history_root(count, peaks):
    return H(b"keel/mmr/root/1", struct.pack("<Q", count), *peaks)


def push(peaks, count, leaf):
    """The peaks after leaf number `count`: mountains of one size merge, as a carry does."""
    peaks = list(peaks)
    while count & 1:
        leaf, count = entry_above(peaks.pop(), leaf), count >> 1
    return peaks + [leaf]


PLACEHOLDER = b"SPARSE_MERKLE_PLACEHOLDER_HASH__"


def state_key(table, key):
    return H(b"keel/state/1", bytes([table]), key)


def bit(key, depth):
    return key[depth // 8] >> (7 - depth % 8) & 1


def leaf_hash(key, value_hash):
    return H(b"JMT::LeafNode", key, value_hash)


def state_root(records, depth=0):
    """The root over sorted (key hash, value) pairs that share `depth` bits."""
    if not records:
        return PLACEHOLDER
    if len(records) == 1:
        return leaf_hash(records[0][0], H(records[0][1]))
    split = sum(1 for key, _ in records if bit(key, depth) == 0)
    left, right = state_root(records[:split], depth + 1), state_root(records[split:], depth + 1)
    return H(b"JMT::IntrnalNode", left, right)


# --- header rules ---
def target_of(bits):
    n, m = bits >> 24, bits & 0x7FFFFF
    target = m << 8 * (n - 3) if n > 3 else m >> 8 * (3 - n)
    require(0 < target < 2**256 and compact(target) == bits, f"bits {bits:08x} are not canonical")
    return target


def compact(target):
    n = (target.bit_length() + 7) // 8
    m = target >> 8 * (n - 3) if n > 3 else target << 8 * (3 - n)
    return (n + 1) << 24 | m >> 8 if m & 0x800000 else n << 24 | m


def next_bits(genesis, parent):
    interval, tau = genesis["interval_ms"], genesis["half_life_ms"]
    drift = parent["time"] - (genesis["time"] - interval) - interval * (parent["height"] + 1)
    e = abs(drift * 65536) // tau * (1 if drift >= 0 else -1)
    s, f = e >> 16, e & 0xFFFF
    factor = 65536 + ((195766423245049 * f + 971821376 * f**2 + 5127 * f**3 + 2**47) >> 48)
    target, s = target_of(genesis["pow_bits"]) * factor, max(-1000, min(1000, s - 16))
    target = target << s if s >= 0 else target >> -s
    return compact(max(1, min(target, target_of(genesis["pow_limit"]))))


def next_base_fee(genesis, parent, weight):
    b, t = parent["base_fee"], genesis["max_block_weight"] // 2
    if genesis["base_fee_initial"] == 0:
        return 0
    if weight > t:
        return min(2**64 - 1, b + max(1, b * (weight - t) // t // 8))
    return b if weight == t else max(genesis["base_fee_min"], b - b * (t - weight) // t // 8)


def genesis_header(genesis):
    records = [(state_key(1, a), b"\1" + struct.pack("<QQ", v, 0)) for a, v in genesis["allocations"]]
    held = sum(amount for _, amount in genesis["allocations"])
    supply = b"\5" + struct.pack("<7Q", held, 0, held, 0, 0, 0, 0)
    records.append((state_key(5, struct.pack("<H", 1)), supply))
    head = struct.pack("<HBBQ", 1, 1, 0, 0) + genesis["id"] + struct.pack("<Q", genesis["time"])
    head += H() + state_root(sorted(records)) + history_root(0, [])
    head += struct.pack("<Q", genesis["base_fee_initial"]) + bytes(36)
    return read_header(Reader(head + struct.pack("<IQ", genesis["pow_bits"], 0)), 1)


def check_header(genesis, header, parent, weight):
    at = f"block {header['height']}: "
    require(header["height"] == parent["height"] + 1, at + "height does not follow")
    require(header["parent_id"] == parent["id"], at + "parent_id is not the id of the block before")
    step = max(1, genesis["interval_ms"] // 60)
    require(header["time"] >= parent["time"] + step, at + "time is too early")
    require(header["parent_weight"] == weight, at + f"parent_weight is not {weight}")
    require(header["base_fee"] == next_base_fee(genesis, parent, weight), at + "base_fee")
    require(header["bits"] == next_bits(genesis, parent), at + "bits are not what the target rule gives")
    met = int.from_bytes(header["id"], "big") <= target_of(header["bits"])
    require(met, at + "the id is above the target")


# --- the checks ---
def check_export(data):
    """Checks a chain and returns its genesis and its headers by id."""
    r = Reader(data)
    require(r.take(8) == b"KEELEXP1", "not an export: it does not begin with KEELEXP1")
    genesis = read_genesis(r.take(r.unpack("I")))
    require(genesis["engine"] == 1, "a chain with proof of stake cannot be checked here")
    parent, weight = genesis_header(genesis), 0
    headers, peaks, work, total = {parent["id"]: parent}, [], 0, 0
    while not r.done():
        header, txs = read_block(r.take(r.unpack("I")), genesis)
        peaks, work = push(peaks, parent["height"], entry_of(parent)), work + header["work"]
        check_header(genesis, header, parent, weight)
        at = f"block {header['height']}: "
        require(header["tx_root"] == merkle_root([tx["wtxid"] for tx in txs]), at + "tx_root")
        require(header["history_root"] == history_root(header["height"], peaks), at + "history_root")
        weight, total, parent = sum(tx["weight"] for tx in txs), total + len(txs), header
        require(weight <= genesis["max_block_weight"], at + "weight is above the limit")
        for tx in txs:
            require(tx["size"] <= genesis["max_tx_bytes"], at + "a transaction is too long")
        headers[header["id"]] = header
    print(f"genesis {genesis['id'].hex()}: {len(genesis['allocations'])} allocations")
    print(f"{parent['height']} blocks with {total} transactions: ids, parents, tx_root, "
          "history_root, times, base fees, targets and work agree")  # fmt: skip
    print(f"tip {parent['id'].hex()} at height {parent['height']}, work {work}")
    return genesis, headers


def check_proof(data, genesis, headers):
    """Checks one proof and returns what it shows."""
    r = Reader(data)
    version, kind, engine, zero = r.unpack("BBBB")
    require(version == 1 and zero == 0 and engine == genesis["engine"], "proof: first bytes")
    header = read_header(r, engine)
    require(header["id"] in headers, f"header {header['id'].hex()} is not in the export")
    require(kind in (1, 2, 3), f"proof: kind {kind} is unknown")
    shown = (transaction_proof, record_proof, ancestor_proof)[kind - 1](r, header, genesis)
    require(r.done(), "proof: trailing bytes")
    return f"{shown}, under the header of height {header['height']}"


def transaction_proof(r, header, genesis):
    n_tx, index, n_path = r.unpack("IIB")
    require(index < n_tx, "proof: index is not below n_tx")
    path = [r.take(32) for _ in range(n_path)]
    tx = read_transaction(r, genesis["id"])
    node, at, last = H(b"\0", tx["wtxid"]), index, n_tx - 1
    while last > 0:
        if at % 2 == 1 or at < last:
            require(path, "proof: the path is too short")
            sibling = path.pop(0)
            node = H(b"\1", sibling, node) if at % 2 == 1 else H(b"\1", node, sibling)
        at, last = at // 2, last // 2
    require(not path, "proof: the path is too long")
    require(node == header["tx_root"], "proof: the path does not lead to tx_root")
    return f"transaction {tx['txid'].hex()} is in the block"


def record_proof(r, header, _genesis):
    table, key_len = r.unpack("BB")
    key = r.take(key_len)
    where, result = state_key(table, key), r.unpack("B")
    shown, shared = f"table {table}, key {key.hex()}: no record", 256
    if result == 0:
        value = r.take(r.unpack("H"))
        require(value[:1] == bytes([table]), "proof: the value is of another table")
        node, shown = leaf_hash(where, H(value)), f"table {table}, key {key.hex()}: {value.hex()}"
    elif result == 1:
        node = PLACEHOLDER
    else:
        require(result == 2, f"proof: result {result} is unknown")
        other, value_hash = r.take(32), r.take(32)
        require(other != where, "proof: the other leaf is the record's own")
        shared = next(d for d in range(256) if bit(other, d) != bit(where, d))
        node = leaf_hash(other, value_hash)
    n, bitmap = r.unpack("H"), int.from_bytes(r.take(32), "little")
    require(n <= min(256, shared) and bitmap >> n == 0, "proof: levels")
    for level in range(n):
        sibling = r.take(32) if bitmap >> level & 1 else PLACEHOLDER
        pair = (sibling, node) if bit(where, n - 1 - level) else (node, sibling)
        node = H(b"JMT::IntrnalNode", *pair)
    require(node == header["state_root"], "proof: the path does not lead to state_root")
    return shown


def ancestor_proof(r, header, genesis):
    ancestor = read_header(r, genesis["engine"])
    count, index = header["height"], ancestor["height"]
    require(index < count, "proof: the ancestor is not lower")
    path = [r.take(80) for _ in range(r.unpack("B"))]
    peaks = [r.take(80) for _ in range(r.unpack("B"))]
    first, place = 0, 0
    for height in reversed(range(64)):
        if count >> height & 1:
            if index < first + (1 << height):
                break
            first, place = first + (1 << height), place + 1
    require(len(path) == height, "proof: the path is not as long as the mountain is high")
    require(len(peaks) == bin(count).count("1") - 1, "proof: number of other peaks")
    node = entry_of(ancestor)
    for step, sibling in enumerate(path):
        left = (index - first) >> step & 1
        node = entry_above(sibling, node) if left else entry_above(node, sibling)
    root = history_root(count, peaks[:place] + [node] + peaks[place:])
    require(root == header["history_root"], "proof: the path does not lead to history_root")
    return f"block {ancestor['id'].hex()} of height {index} is an ancestor"


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def self_check():
    """The golden export and proofs agree, and no damaged proof shows what a whole one does."""
    here = os.path.dirname(os.path.abspath(__file__))
    golden = os.path.join(here, "..", "vectors", "golden")
    export = read_file(os.path.join(golden, "chain.export"))
    genesis, headers = check_export(export)
    names = sorted(name for name in os.listdir(golden) if name.endswith(".proof"))
    require(len(names) >= 3, "golden proofs are missing")
    refused = 0
    for name in names:
        proof = read_file(os.path.join(golden, name))
        print(f"{name}: {check_proof(proof, genesis, headers)}")
        damaged = bytearray(proof)
        damaged[len(proof) - 40] ^= 1
        try:
            check_proof(bytes(damaged), genesis, headers)
        except Mismatch:
            refused += 1
    require(refused == len(names), "a damaged proof was believed")
    last = bytearray(export)
    last[len(export) - 1] ^= 1
    try:
        check_export(bytes(last))
    except Mismatch as reason:
        print(f"damaged copies of the proofs and of the export are refused ({reason})")
        return
    raise Mismatch("a damaged export was believed")


def main(arguments):
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if arguments else 2
    where = arguments[0]
    try:
        if arguments == ["--self-check"]:
            self_check()
            return 0
        genesis, headers = check_export(read_file(arguments[0]))
        for where in arguments[1:]:
            print(f"{where}: {check_proof(read_file(where), genesis, headers)}")
    except (Mismatch, OSError) as reason:
        print(f"{where}: {reason}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
