#!/usr/bin/env python3
"""tests/golden/train/safetensors.tsv: crafted files, and whether the reference reader takes them.

    make_safetensors.py        pip install safetensors numpy

Lines: verdict of the reference ("ok" or "refused"), name, the file in hex. STRICTER names what we
refuse and the reader does not: the format disallows repeated names.
"""
import json
import os
import struct

import safetensors
from safetensors import safe_open

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'train', 'safetensors.tsv')
CASES = []
STRICTER = {'a name twice, equal'}


def tensor(dtype, shape, a, b):
    return {'dtype': dtype, 'shape': shape, 'data_offsets': [a, b]}


def add(name, header, data=0, n=None):
    h = header if isinstance(header, bytes) else header.encode() if isinstance(header, str) else \
        json.dumps(header, separators=(',', ':')).encode()
    CASES.append((name, struct.pack('<Q', len(h) if n is None else n) + h + bytes(range(data))))


def raw(name, data):
    CASES.append((name, data))


A = tensor('F32', [2], 0, 8)
ok = {'a': A}
text = json.dumps(ok, separators=(',', ':'))
entry = '"a":' + json.dumps(A, separators=(',', ':'))
add('plain', ok, 8)
add('two tensors', {'a': A, 'b': tensor('F16', [3], 8, 14)}, 14)
add('names in reverse order of place', {'b': tensor('F16', [3], 8, 14), 'a': A}, 14)
add('F32 at an odd byte', {'p': tensor('U8', [3], 0, 3), 'a': tensor('F32', [2], 3, 11)}, 11)
add('padded with spaces', text + ' ' * (-len(text) % 8), 8)
add('length is not a multiple of 8', text + ' ' * 3, 8)
add('padded with newlines', text + '\n\n', 8)
add('padded with NULs', text + '\0\0', 8)
add('starts with a space', ' ' + text, 8)
add('starts with a newline', '\n' + text, 8)
add('an array', '[]')
add('an empty header', '')
add('an empty object', '{}')
add('an empty object with data', '{}', 4)
add('garbage', '{nonsense')
add('not UTF-8', b'{"\xff":' + json.dumps(A).encode() + b'}', 8)
add('NaN', '{"a":NaN}')
raw('0 bytes', b'')
raw('7 bytes', b'1234567')
raw('a length of 0', struct.pack('<Q', 0))
add('a length past the end', ok, 8, 10**6)
add('a length above the limit', ok, 8, 100_000_001)
add('a length at the limit', ok, 8, 100_000_000)
add('a length of 2^63', ok, 8, 1 << 63)
add('a length one too small', ok, 8, len(text) - 1)
add('a length one too large', ok, 8, len(text) + 1)
add('data one byte short', ok, 7)
add('data one byte long', ok, 9)
add('overlap', {'a': A, 'b': tensor('F32', [2], 4, 12)}, 12)
add('two names for one range', {'a': A, 'b': A}, 8)
add('a hole between', {'a': A, 'b': tensor('F32', [2], 12, 20)}, 20)
add('a hole at the start', {'a': tensor('F32', [2], 4, 12)}, 12)
add('begin after end', {'a': tensor('F32', [2], 8, 0)}, 8)
add('a negative offset', '{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}', 8)
add('a fraction as offset', '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0.0,8.0]}}', 8)
add('an offset of 2^64',
    '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551616]}}', 8)
add('an end past the file', {'a': tensor('F32', [4], 0, 16)}, 8)
add('a shape too large for its bytes', {'a': tensor('F32', [3], 0, 8)}, 8)
add('a shape too small for its bytes', {'a': tensor('F32', [1], 0, 8)}, 8)
add('a shape that overflows', {'a': tensor('F32', [1 << 40, 1 << 40], 0, 8)}, 8)
add('a negative dimension', {'a': tensor('F32', [-2], 0, 8)}, 8)
add('a scalar', {'a': tensor('F32', [], 0, 4)}, 4)
add('a zero dimension', {'a': tensor('F32', [0, 5], 0, 0)})
add('an empty tensor between', {'a': tensor('F32', [1], 0, 4), 'z': tensor('F32', [0], 4, 4),
                                'b': tensor('F32', [1], 4, 8)}, 8)
add('an empty tensor at 0, named later', {'a': tensor('F32', [1], 0, 4),
                                          'z': tensor('F32', [0], 0, 0)}, 4)
add('an empty tensor out of place', {'a': tensor('F32', [1], 0, 4),
                                     'z': tensor('F32', [0], 2, 2)}, 4)
add('no dtype', '{"a":{"shape":[2],"data_offsets":[0,8]}}', 8)
add('no shape', '{"a":{"dtype":"F32","data_offsets":[0,8]}}', 8)
add('no offsets', '{"a":{"dtype":"F32","shape":[2]}}', 8)
add('an unknown field', '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}', 8)
add('three offsets', '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}}', 8)
add('a lower-case dtype', {'a': tensor('f32', [2], 0, 8)}, 8)
add('an unknown dtype', {'a': tensor('F33', [2], 0, 8)}, 8)
add('a list as tensor', '{"a":[1,2]}')
add('metadata', {'__metadata__': {'k': 'v'}, **ok}, 8)
add('a number in metadata', {'__metadata__': {'k': 1}, **ok}, 8)
add('an object in metadata', {'__metadata__': {'k': {}}, **ok}, 8)
add('metadata is null', {'__metadata__': None, **ok}, 8)
add('metadata is a list', {'__metadata__': [], **ok}, 8)
add('metadata is empty', {'__metadata__': {}, **ok}, 8)
add('metadata comes last', {**ok, '__metadata__': {'k': 'v'}}, 8)
add('metadata alone', {'__metadata__': {'k': 'v'}})
add('escapes in metadata', '{"__metadata__":{"k":"\\u00e9\\ud83d\\ude00"},' + entry + '}', 8)
add('a name twice, equal', '{' + entry + ',' + entry + '}', 8)
add('a name twice, different',
    '{' + entry + ',"a":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}', 16)
add('metadata twice', '{"__metadata__":{"k":"v"},"__metadata__":{"k":"w"},' + entry + '}', 8)
add('an empty name', '{"":' + json.dumps(A) + '}', 8)
add('escapes in a name', '{"a\\"\\n\\u0041":' + json.dumps(A) + '}', 8)
add('half a surrogate in a name', '{"\\ud800":' + json.dumps(A) + '}', 8)
add('JSON behind the object', text + '{}', 8)
add('a trailing comma', '{' + entry + ',}', 8)
add('white space within', json.dumps(ok, indent=2), 8)
add('a byte order mark', b'\xef\xbb\xbf' + text.encode(), 8)
add('fields in another order', '{"a":{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}}', 8)
for dtype, size in (('BOOL', 1), ('U8', 1), ('I8', 1), ('I16', 2), ('U16', 2), ('F16', 2),
                    ('BF16', 2), ('I32', 4), ('U32', 4), ('F32', 4), ('F64', 8), ('I64', 8),
                    ('U64', 8)):
    add('dtype ' + dtype, {'a': tensor(dtype, [8], 0, 8 * size)}, 8 * size)


def verdict(data):
    path = OUT + '.case'
    with open(path, 'wb') as f:
        f.write(data)
    try:
        with safe_open(path, framework='np') as s:
            list(s.keys())
        return 'ok'
    except safetensors.SafetensorError:
        return 'refused'
    finally:
        os.unlink(path)


if __name__ == '__main__':
    with open(OUT, 'w') as f:
        f.write('# made by make_safetensors.py with safetensors %s\n' % safetensors.__version__)
        for name, data in CASES:
            f.write('%s\t%s\t%s\n' % ('refused' if name in STRICTER else verdict(data), name,
                                      data.hex()))
