"""Broken inputs: seeds, changed here and there, the same for the same seed."""

import random

WORDS = [b"\x00", b"\xff\xfe", b"\xc3", b"\n", b"\r\n", b"\\", b'"', b"'", b",", b"=", b" ", b"{",
         b"}", b"[", b"]", b":", b"null", b"NaN", b"-Infinity", b"1e400", b"-0", b"1e-400",
         b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616",
         b"#", b"%", b"%00", b"%zz", b"+", b"&", b"?", b"/", b"..", b"\xf0\x9f\x98\x80", b"_", b"i",
         b"u", b"T", b"Z", b"\\u0000", b"\\ud800", b"\t", b"a" * 300, b"[" * 40, b"1" * 400]


class Mutator:
    def __init__(self, seeds, seed):
        self.seeds = [s for s in seeds if s]
        self.random = random.Random(seed)
        if not self.seeds:
            raise ValueError("no seeds")

    def next(self):
        rnd = self.random
        data = bytearray(rnd.choice(self.seeds))
        for _ in range(min(rnd.randint(1, 6), rnd.randint(1, 6))):
            at = rnd.randint(0, len(data))
            end = min(len(data), at + rnd.randint(1, 16))
            step = rnd.randrange(7)
            if step == 0 and data:
                data[rnd.randrange(len(data))] = rnd.randrange(256)
            elif step == 1 and data:
                data[rnd.randrange(len(data))] ^= 1 << rnd.randrange(8)
            elif step == 2:
                del data[at:end]
            elif step == 3:
                data[at:at] = rnd.choice(WORDS)
            elif step == 4:
                data[at:at] = data[at:end] * rnd.randint(1, 4)
            elif step == 5:
                del data[at:]
            else:
                other = rnd.choice(self.seeds)
                cut = rnd.randint(0, len(other))
                data[at:] = other[cut:]
        return bytes(data[:65536])
