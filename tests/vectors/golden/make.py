#!/usr/bin/env python3
"""Writes the golden files beside it: bytes and hashes of every format, by docs/formats.md alone.

Nothing here uses keel's code, so that agreement of the two means something. Signatures of the
chain are real (RFC 8032); elsewhere they are patterns of bytes.
"""
import hashlib
import json
import os
from struct import pack

HERE = os.path.dirname(os.path.abspath(__file__))


def h(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def pattern(first, length=32):
    return bytes((first + i) % 256 for i in range(length))


# --- Ed25519, RFC 8032 section 6 ---
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def point_add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, i = b - a, d - c, d + c, b + a
    return (e * f % P, g * i % P, f * g % P, e * i % P)


def point_mul(s, p):
    q = (0, 1, 1, 0)
    while s > 0:
        if s & 1:
            q = point_add(q, p)
        p, s = point_add(p, p), s >> 1
    return q


def point_compress(p):
    z = pow(p[2], -1, P)
    return (p[1] * z % P | ((p[0] * z % P) & 1) << 255).to_bytes(32, "little")


GY = 4 * pow(5, -1, P) % P
GX2 = (GY * GY - 1) * pow(D * GY * GY + 1, -1, P) % P
GX = pow(GX2, (P + 3) // 8, P)
GX = GX if (GX * GX - GX2) % P == 0 else GX * pow(2, (P - 1) // 4, P) % P
GX = GX if GX % 2 == 0 else P - GX
G = (GX, GY, 1, GX * GY % P)


def sha512_int(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little") % L


class Key:
    def __init__(self, number):
        digest = hashlib.sha512(bytes([number]) * 32).digest()
        self.scalar = (int.from_bytes(digest[:32], "little") & (1 << 254) - 8) | 1 << 254
        self.prefix = digest[32:]
        self.public = point_compress(point_mul(self.scalar, G))

    def sign(self, message):
        r = sha512_int(self.prefix, message)
        big_r = point_compress(point_mul(r, G))
        k = sha512_int(big_r, self.public, message)
        return big_r + ((r + k * self.scalar) % L).to_bytes(32, "little")


# --- accounts and transactions ---
def account_of(descriptor):
    return h(b"keel/acct/1", descriptor)


def single(public):
    return b"\0" + public


def multi(m, keys):
    return bytes([1, m, len(keys)]) + b"".join(sorted(keys))


def transfer(to, amount):
    return b"\x01" + to + pack("<Q", amount)


def data(content):
    return b"\x02" + pack("<H", len(content)) + content


def body(nonce, fee, expiry, ops):
    return b"\x01" + pack("<QQQB", nonce, fee, expiry, len(ops)) + b"".join(ops)


def txid_of(genesis_id, tx_body, descriptor):
    return h(b"keel/tx/1", genesis_id, tx_body, descriptor)


def wtxid_of(tx):
    return h(b"keel/wtx/1", tx)


# --- trees ---
def merkle(leaves):
    if not leaves:
        return h()
    if len(leaves) == 1:
        return h(b"\0", leaves[0])
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return h(b"\x01", merkle(leaves[:split]), merkle(leaves[split:]))


def merkle_path(leaves, index):
    if len(leaves) == 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return merkle_path(leaves[:split], index) + [merkle(leaves[split:])]
    return merkle_path(leaves[split:], index - split) + [merkle(leaves[:split])]


def entry(digest, work, first, last):
    return digest + work.to_bytes(32, "little") + pack("<QQ", first, last)


def entry_parent(left, right):
    work = int.from_bytes(left[32:64], "little") + int.from_bytes(right[32:64], "little")
    return h(b"keel/mmr/node/1", left, right) + work.to_bytes(32, "little") + left[64:72] + right[72:]


def peak(leaves):
    if len(leaves) == 1:
        return leaves[0]
    half = len(leaves) // 2
    return entry_parent(peak(leaves[:half]), peak(leaves[half:]))


def mountains(leaves):
    found, at = [], 0
    for bit in reversed(range(64)):
        if len(leaves) >> bit & 1:
            found.append((at, leaves[at : at + (1 << bit)]))
            at += 1 << bit
    return found


def history_root(leaves):
    peaks = [peak(part) for _, part in mountains(leaves)]
    return h(b"keel/mmr/root/1", pack("<Q", len(leaves)), *peaks)


def mountain_path(leaves, index):
    if len(leaves) == 1:
        return []
    half = len(leaves) // 2
    if index < half:
        return mountain_path(leaves[:half], index) + [peak(leaves[half:])]
    return mountain_path(leaves[half:], index - half) + [peak(leaves[:half])]


PLACEHOLDER = b"SPARSE_MERKLE_PLACEHOLDER_HASH__"


def key_hash(table, key):
    return h(b"keel/state/1", bytes([table]), key)


def bit(digest, depth):
    return digest[depth // 8] >> (7 - depth % 8) & 1


def state_root(leaves, depth=0):
    if not leaves:
        return PLACEHOLDER
    if len(leaves) == 1:
        ((where, value),) = leaves.items()
        return h(b"JMT::LeafNode", where, h(value))
    sides = [{k: v for k, v in leaves.items() if bit(k, depth) == side} for side in (0, 1)]
    return h(b"JMT::IntrnalNode", *(state_root(side, depth + 1) for side in sides))


# --- genesis and headers ---
TIME = 1_700_000_000_000
PROFILES = ["main", "test", "dev", "consortium"]


def genesis(profile, engine, operators=(), validators=(), allocations=(), name="golden", **changes):
    def pick(*values):
        return values[PROFILES.index(profile)]

    work, interval = engine == 1, pick(60_000, 10_000, 2_000, 1_000)
    g = {
        "name": name, "hrp": pick("keel", "tkeel", "dkeel", "ckeel"), "time": TIME,
        "interval_ms": interval, "half_life_ms": 288 * interval if work else 0,
        "max_block_weight": 4_000_000, "max_tx_bytes": 16_384, "max_ops": 64, "max_data": 1_024,
        "base_fee_initial": pick(1_000, 1_000, 1_000, 0), "base_fee_min": pick(100, 100, 100, 0),
        "account_fee": pick(10_000, 10_000, 1_000, 0), "reward_kind": pick(2, 1, 1, 0),
        "decimals": 8, "proposer_bp": 0 if work else 2_000, "maturity": pick(100, 20, 3, 1),
        "reward_initial": pick(5_000_000_000, 5_000_000_000, 5_000_000_000, 0),
        "reward_interval": pick(2_102_400, 0, 0, 0), "reward_tail": 0,
        "pow_bits": pick(0x1E00FFFF, 0x1F00FFFF, 0x1F040000, 0x1F040000) if work else 0,
        "pow_limit": pick(0x1E00FFFF, 0x1F00FFFF, 0x207FFFFF, 0x207FFFFF) if work else 0,
    }  # fmt: skip
    stake = {
        "epoch_blocks": pick(7_200, 720, 60, 1_000), "unbonding_epochs": 2,
        "unbonding_ms": pick(1_814_400_000, 86_400_000, 60_000, 0),
        "trust_ms": pick(1_209_600_000, 43_200_000, 0, 0),
        "min_stake": pick(100_000_000_000, 1_000_000_000, 100_000_000, 1),
        "delta_ms": pick(1_000, 1_000, 200, 500), "window_views": 4,
        "max_validators": pick(200, 100, 50, 50), "churn_bp": pick(3_333, 3_333, 10_000, 10_000),
        "slash_bp": pick(500, 500, 500, 0), "reporter_bp": pick(500, 500, 500, 0),
    }  # fmt: skip
    g.update(stake if not work else dict.fromkeys(stake, 0))
    g["id_puzzle_bits"] = pick(16, 8, 0, 0)
    g["heartbeat_ms"] = 0 if work else pick(60_000, 60_000, 10_000, 60_000)
    g.update(changes)
    fixed = pack("<HBB16s8s", 1, engine, PROFILES.index(profile), g["name"].encode(), g["hrp"].encode())
    fixed += pack("<QIQIIHHQQQ", *[g[k] for k in (
        "time", "interval_ms", "half_life_ms", "max_block_weight", "max_tx_bytes", "max_ops",
        "max_data", "base_fee_initial", "base_fee_min", "account_fee")])  # fmt: skip
    fixed += pack("<BBHIQQQII", *[g[k] for k in (
        "reward_kind", "decimals", "proposer_bp", "maturity", "reward_initial", "reward_interval",
        "reward_tail", "pow_bits", "pow_limit")])  # fmt: skip
    fixed += pack("<IIQQQIHHHHH", *[g[k] for k in stake])
    fixed += pack("<BBI", g["id_puzzle_bits"], 0, g["heartbeat_ms"])
    fixed += pack("<HHI", len(operators), len(validators), len(allocations))
    assert len(fixed) == 184
    lists = b"".join(sorted(operators))
    lists += b"".join(k + a + pack("<Q", s) for k, a, s in sorted(validators))
    lists += b"".join(a + pack("<Q", s) for a, s in sorted(allocations))
    return fixed + lists


def common(engine, height, parent, time, tx_root, state, history, base_fee, beneficiary, weight):
    head = pack("<HBBQ", 1, engine, 0, height) + parent + pack("<Q", time) + tx_root + state + history
    return head + pack("<Q", base_fee) + beneficiary + pack("<I", weight)


def block_id(header):
    return h(h(header))


def target_of(bits):
    length, mantissa = bits >> 24, bits & 0x7FFFFF
    return mantissa << 8 * (length - 3) if length > 3 else mantissa >> 8 * (3 - length)


# --- a chain, executed by the rules ---
class Chain:
    """Work, dev profile, targets that every second hash meets; blocks 2 s apart keep them so."""

    BITS = 0x207FFFFF

    def __init__(self, operators, allocations):
        self.genesis = genesis("dev", 1, operators, (), allocations, pow_bits=self.BITS)
        self.genesis_id = h(b"keel/genesis/1", self.genesis)
        self.accounts = {account: [amount, 0] for account, amount in allocations}
        self.immature, self.issued, self.burned = {}, sum(a for _, a in allocations), 0
        self.leaves, self.blocks, self.headers, self.weight = [], [], [], 0
        self.txs = [[]]
        self.add_header(0, self.genesis_id, [], 1_000, bytes(32))

    def state(self):
        records = {key_hash(1, a): b"\x01" + pack("<QQ", *v) for a, v in self.accounts.items()}
        for height, (who, amount) in self.immature.items():
            records[key_hash(4, pack("<Q", height))] = b"\x04" + who + pack("<Q", amount)
        held = sum(v[0] for v in self.accounts.values())
        waiting = sum(v[1] for v in self.immature.values())
        assert held + waiting == self.issued - self.burned
        supply = pack("<7Q", self.issued, self.burned, held, 0, waiting, 0, 0)
        records[key_hash(5, pack("<H", 1))] = b"\x05" + supply
        return records

    def add_header(self, height, parent, txs, base_fee, beneficiary):
        root, time = merkle([wtxid_of(tx) for tx in txs]), TIME + 2_000 * height
        head = common(1, height, parent, time, root, state_root(self.state()),
                      history_root(self.leaves), base_fee, beneficiary, self.weight)  # fmt: skip
        target, nonce = target_of(self.BITS), 0
        while True:
            header = head + pack("<IQ", self.BITS, nonce)
            if height == 0 or int.from_bytes(block_id(header), "big") <= target:
                break
            nonce += 1
        work = 2**256 // (target + 1)
        self.headers.append(header)
        self.leaves.append(entry(block_id(header), work, time, time))
        return header

    def pay(self, signers, descriptor, fee, ops, expiry=0):
        """A signed transaction of the next nonce; `signers` in the order of the descriptor."""
        nonce = self.accounts[account_of(descriptor)][1] + self.ahead.get(descriptor, 0)
        self.ahead[descriptor] = self.ahead.get(descriptor, 0) + 1
        parts = [op[0] if isinstance(op, tuple) else op for op in ops]
        tx_body = body(nonce, fee, expiry, parts)
        digest = txid_of(self.genesis_id, tx_body, descriptor)
        if descriptor[0] == 0:
            return tx_body + descriptor + signers[0].sign(digest)
        keys = [descriptor[3 + 32 * i : 35 + 32 * i] for i in range(descriptor[2])]
        bitmap = sum(1 << keys.index(s.public) for s in signers)
        signers = sorted(signers, key=lambda s: keys.index(s.public))
        return tx_body + descriptor + pack("<H", bitmap) + b"".join(s.sign(digest) for s in signers)

    def add(self, beneficiary, make):
        """The next block; `make` gives (transaction, descriptor, fee, transfers, signatures)."""
        height, self.ahead = len(self.headers), {}
        parent = self.headers[-1]
        fee, half = int.from_bytes(parent[148:156], "little"), 2_000_000
        change = fee * abs(self.weight - half) // half // 8
        fee = fee + max(1, change) if self.weight > half else max(100, fee - change)
        if height - 3 in self.immature:
            who, amount = self.immature.pop(height - 3)
            self.accounts.setdefault(who, [0, 0])[0] += amount
        tips, weight, txs = 0, 0, []
        for tx, descriptor, paid, transfers, signatures in make(self):
            sender = self.accounts[account_of(descriptor)]
            sender[0], sender[1] = sender[0] - paid, sender[1] + 1
            created = 0
            for to, amount in transfers:
                sender[0] -= amount
                created += to not in self.accounts
                self.accounts.setdefault(to, [0, 0])[0] += amount
            assert sender[0] >= 0
            tx_weight = len(tx) + 36 * signatures
            burn = -(-fee * tx_weight // 1_000) + 1_000 * created
            assert paid >= burn
            self.burned, tips, weight = self.burned + burn, tips + paid - burn, weight + tx_weight
            txs.append(tx)
        self.issued += 5_000_000_000
        self.immature[height] = (beneficiary, 5_000_000_000 + tips)
        header = self.add_header(height, block_id(parent), txs, fee, beneficiary)
        self.weight = weight
        self.blocks.append(header + pack("<I", len(txs)) + b"".join(txs))
        self.txs.append(txs)


def make_chain():
    keys = [Key(i) for i in range(1, 6)]
    alice, bob, *team = keys
    group = multi(2, [k.public for k in team])
    a, b, g = single(alice.public), single(bob.public), group
    miner = account_of(single(Key(9).public))
    fresh = [h(bytes([i])) for i in range(40)]
    chain = Chain([alice.public, bob.public], [(account_of(d), 10**12 + len(d)) for d in (a, b, g)])

    def paying(c, signers, descriptor, fee, transfers, extra=(), expiry=0):
        ops = [transfer(*t) for t in transfers] + list(extra)
        count = 1 if descriptor[0] == 0 else descriptor[1]
        return c.pay(signers, descriptor, fee, ops, expiry), descriptor, fee, transfers, count

    chain.add(miner, lambda c: [])
    chain.add(miner, lambda c: [
        paying(c, [alice], a, 1_400, [(fresh[0], 77)]),
        paying(c, [alice], a, 900, [(account_of(b), 5), (account_of(b), 6)], expiry=2),
        paying(c, [team[2], team[0]], g, 400, [], [data(b"anchored in block 2")]),
    ])  # fmt: skip
    chain.add(miner, lambda c: [paying(c, [bob], b, 50_000, [(f, 1_000) for f in fresh[1:30]])])
    chain.add(miner, lambda c: [])
    chain.add(miner, lambda c: [])
    chain.add(account_of(a), lambda c: [
        paying(c, [bob], b, 2_000, [(fresh[31], 9)]),
        paying(c, [alice], a, 500, [(account_of(a), 10**9)]),
        paying(c, [team[1], team[0]], g, 4_000, [(miner, 1), (fresh[32], 2), (fresh[33], 3)]),
        paying(c, [bob], b, 300, [(fresh[0], 1)]),
        paying(c, [alice], a, 1_000, [], [data(bytes(range(256)) * 4)]),
    ])  # fmt: skip
    return chain


# --- proofs ---
def tx_proof(chain, height, index):
    header, txs = chain.headers[height], chain.txs[height]
    path = merkle_path([wtxid_of(tx) for tx in txs], index)
    return b"\x01\x01\x01\x00" + header + pack("<IIB", len(txs), index, len(path)) + b"".join(path) + txs[index]


def state_proof(chain, records, table, key):
    where, siblings, part, depth = key_hash(table, key), [], dict(records), 0
    while len(part) > 1:
        side = bit(where, depth)
        siblings.insert(0, state_root({k: v for k, v in part.items() if bit(k, depth) != side}, depth + 1))
        part = {k: v for k, v in part.items() if bit(k, depth) == side}
        depth += 1
    if where in part:
        result = b"\0" + pack("<H", len(part[where])) + part[where]
    elif not part:
        result = b"\x01"
    else:
        ((other, value),) = part.items()
        result = b"\x02" + other + h(value)
    bitmap = sum(1 << i for i, s in enumerate(siblings) if s != PLACEHOLDER)
    shown = b"".join(s for s in siblings if s != PLACEHOLDER)
    proof = b"\x01\x02\x01\x00" + chain.headers[-1] + bytes([table, len(key)]) + key + result
    return result[0], proof + pack("<H", depth) + bitmap.to_bytes(32, "little") + shown


def history_proof(chain, height, ancestor):
    leaves = chain.leaves[:height]
    parts = mountains(leaves)
    start, own = next(m for m in parts if m[0] <= ancestor < m[0] + len(m[1]))
    path = mountain_path(own, ancestor - start)
    others = [peak(part) for at, part in parts if at != start]
    head = b"\x01\x03\x01\x00" + chain.headers[height] + chain.headers[ancestor]
    return head + bytes([len(path)]) + b"".join(path) + bytes([len(others)]) + b"".join(others)


def transactions(genesis_id):
    key, sig, to = pattern(0), pattern(0x80, 64), pattern(0x40)
    keys = [pattern(0), pattern(1), pattern(2)]
    shapes = {
        "transfer": (body(7, 1_400, 0, [transfer(to, 5_000)]), single(key), sig, 1),
        "two_of_three": (
            body(0, 1_400, 900, [transfer(to, 1)]),
            multi(2, keys), pack("<H", 0b101) + sig + pattern(0x81, 64), 2),
        "sixty_four_payees": (
            body(2**64 - 2, 99_999, 12, [transfer(pattern(i), i + 1) for i in range(64)]),
            single(key), sig, 1),
        "data": (body(1, 200, 0, [data(pattern(0x60))]), single(key), sig, 1),
        "sixteen_of_sixteen": (
            body(3, 2**64 - 1, 2**64 - 1, [data(b"\0"), transfer(to, 2**64 - 1)]),
            multi(16, [pattern(i) for i in range(16)]),
            b"\xff\xff" + b"".join(pattern(i, 64) for i in range(16)), 16),
    }  # fmt: skip
    found = {}
    for name, (tx_body, descriptor, signatures, count) in shapes.items():
        tx = tx_body + descriptor + signatures
        found[name] = {
            "bytes": tx.hex(), "size": len(tx), "weight": len(tx) + 36 * count,
            "account": account_of(descriptor).hex(), "wtxid": wtxid_of(tx).hex(),
            "txid": txid_of(genesis_id, tx_body, descriptor).hex(),
        }  # fmt: skip
    return found


def main():
    chain = make_chain()
    work = common(1, 9, pattern(1), TIME, pattern(2), pattern(3), pattern(4), 1_000, pattern(5), 200)
    work += pack("<IQ", 0x1F040000, 0x0102030405060708)
    bitmap = (0b1011).to_bytes(32, "little")
    stake = common(2, 9, pattern(1), TIME, pattern(2), pattern(3), pattern(4), 1_000, pattern(5), 200)
    stake += pack("<QH", 3, 2) + pattern(6) + bitmap
    certificate = pack("<BQQQ", 1, 3, 40, 39) + pattern(1) + bitmap + b"".join(pattern(i, 64) for i in range(3))
    golden = {"transactions": transactions(chain.genesis_id)}
    one = bytes.fromhex(golden["transactions"]["transfer"]["bytes"])
    golden["headers"] = {
        "work": {"bytes": work.hex(), "id": block_id(work).hex()},
        "stake": {"bytes": stake.hex(), "id": block_id(stake).hex()},
    }
    golden["certificate"] = certificate.hex()
    golden["blocks"] = {
        "work": (work + pack("<I", 1) + one).hex(),
        "stake": (stake + pack("<I", 1) + one + certificate).hex(),
        "stake_after_genesis": (stake + pack("<I", 0) + bytes(89)).hex(),
    }
    validators = [(pattern(7), pattern(8), 10**11), (pattern(9), pattern(10), 10**11 + 1)]
    golden["genesis"] = {}
    for profile in PROFILES:
        for engine, name in ((1, "work"), (2, "stake")):
            raw = genesis(profile, engine, [pattern(3), pattern(2)], validators if engine == 2 else (),
                          [(pattern(12), 1), (pattern(11), 10**15)])  # fmt: skip
            golden["genesis"][f"{profile}_{name}"] = {"bytes": raw.hex(), "id": h(b"keel/genesis/1", raw).hex()}
    golden["validators_root"] = merkle([k + a + pack("<Q", s) for k, a, s in validators]).hex()
    golden["history"] = [history_root(chain.leaves[:n]).hex() for n in range(len(chain.leaves) + 1)]
    golden["chain"] = {
        "genesis_id": chain.genesis_id.hex(),
        "ids": [block_id(header).hex() for header in chain.headers],
        "state_roots": [header[84:116].hex() for header in chain.headers],
    }
    with open(os.path.join(HERE, "golden.json"), "w", encoding="ascii") as out:
        json.dump(golden, out, indent=1)
        out.write("\n")
    export = b"KEELEXP1" + pack("<I", len(chain.genesis)) + chain.genesis
    export += b"".join(pack("<I", len(block)) + block for block in chain.blocks)
    files = {"chain.export": export}
    for index in range(len(chain.txs[-1])):
        files[f"transaction-{index}.proof"] = tx_proof(chain, len(chain.blocks), index)
    records = chain.state()
    account = next(iter(chain.accounts))
    files["state-account.proof"] = state_proof(chain, records, 1, account)[1]
    files["state-immature.proof"] = state_proof(chain, records, 4, pack("<Q", 5))[1]
    files["state-supply.proof"] = state_proof(chain, records, 5, pack("<H", 1))[1]
    absent = [state_proof(chain, records, 1, pattern(i)) for i in range(100)]
    files["state-empty.proof"] = next(proof for result, proof in absent if result == 1)
    files["state-other.proof"] = next(proof for result, proof in absent if result == 2)
    for ancestor in range(len(chain.blocks)):
        files[f"history-{ancestor}.proof"] = history_proof(chain, len(chain.blocks), ancestor)
    for name, content in files.items():
        with open(os.path.join(HERE, name), "wb") as out:
            out.write(content)


if __name__ == "__main__":
    main()
