#!/usr/bin/env python3
"""Writes `milliseconds` beside this file: the target rule of docs/formats.md in plain integers."""
import os
import random


def target_of(bits):
    length, mantissa = bits >> 24, bits & 0x7FFFFF
    return mantissa << 8 * (length - 3) if length > 3 else mantissa >> 8 * (3 - length)


def compact(target):
    length = (target.bit_length() + 7) // 8
    mantissa = target >> 8 * (length - 3) if length > 3 else target << 8 * (3 - length)
    if mantissa & 0x800000:
        mantissa, length = mantissa >> 8, length + 1
    return length << 24 | mantissa


def next_bits(interval, half_life, pow_bits, pow_limit, genesis_time, height, time):
    drift = (time - (genesis_time - interval)) - interval * (height + 1)
    exponent = abs(drift * 65536) // half_life * (-1 if drift < 0 else 1)
    shift, fraction = exponent >> 16, exponent & 0xFFFF
    cubic = 195766423245049 * fraction + 971821376 * fraction**2 + 5127 * fraction**3 + 2**47
    product = target_of(pow_bits) * (65536 + (cubic >> 48))
    shift -= 16
    if shift > 600:
        target = target_of(pow_limit)
    else:
        target = product << shift if shift >= 0 else product >> min(-shift, 1000)
    return compact(max(1, min(target, target_of(pow_limit))))


def main():
    rng = random.Random(1)
    profiles = [
        (60000, 17280000, 0x1E00FFFF, 0x1E00FFFF),
        (10000, 2880000, 0x1F00FFFF, 0x1F00FFFF),
        (2000, 576000, 0x1F040000, 0x207FFFFF),
        (1, 32, 0x01010000, 0x207FFFFF),
        (2**32 - 1, 2**64 - 1, 0x1D00FFFF, 0x2000FFFF),
        (7, 33, 0x03123456, 0x04123456),
    ]
    lines = []
    for profile in profiles:
        interval, half_life = profile[:2]
        for _ in range(100):
            genesis_time = rng.choice([0, 1_700_000_000_000, rng.randrange(2**63)])
            height = rng.choice([0, 1, rng.randrange(10**6), rng.randrange(2**40)])
            span = rng.choice([0, 1, half_life // 1000, half_life, 20 * half_life, 300 * half_life])
            time = genesis_time + interval * height + rng.randint(-span, span)
            time = min(max(time, 0), 2**64 - 1)
            bits = next_bits(*profile, genesis_time, height, time)
            numbers = f"{interval} {half_life} {profile[2]:08x} {profile[3]:08x}"
            lines.append(f"{numbers} {genesis_time} {height} {time} {bits:08x}\n")
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "milliseconds")
    with open(path, "w", encoding="ascii") as out:
        out.writelines(lines)


if __name__ == "__main__":
    main()
