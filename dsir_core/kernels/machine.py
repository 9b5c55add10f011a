"""Machine operations that Numba does not offer: unaligned loads, 128-bit products, 64 bytes classified at once.

Addresses are int64, values uint64; the two never mix, since Numba would turn their sum into a float.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_I8, _I64, _I128 = ir.IntType(8), ir.IntType(64), ir.IntType(128)
_LANES = 64
_HALF_BLOCK = ir.VectorType(_I8, 32)


@njit(nogil=True)
def address_of(array):
    """Address of an array's first element, int64: Numba adds the uint64 of `ctypes.data` to an int64 as floats."""
    return np.int64(array.ctypes.data)


def _load(builder, address, bits):
    pointer = builder.inttoptr(address, ir.IntType(bits).as_pointer())
    value = builder.load(pointer, align=1)
    return builder.zext(value, _I64) if bits < 64 else value


@intrinsic
def load_byte(typing_context, address):
    """One byte: int64 address -> int64."""

    def generate(context, builder, signature, arguments):
        return _load(builder, arguments[0], 8)

    return types.int64(types.int64), generate


@intrinsic
def load32(typing_context, address):
    """Four bytes, little-endian: int64 address -> uint64."""

    def generate(context, builder, signature, arguments):
        return _load(builder, arguments[0], 32)

    return types.uint64(types.int64), generate


@intrinsic
def load64(typing_context, address):
    """Eight bytes, little-endian: int64 address -> uint64."""

    def generate(context, builder, signature, arguments):
        return _load(builder, arguments[0], 64)

    return types.uint64(types.int64), generate


@intrinsic
def store_byte(typing_context, address, value):
    """Write one byte: int64 address, int64 value."""

    def generate(context, builder, signature, arguments):
        pointer = builder.inttoptr(arguments[0], _I8.as_pointer())
        builder.store(builder.trunc(arguments[1], _I8), pointer)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def multiply_fold(typing_context, a, b):
    """Upper and lower half of the 128-bit product of two uint64, by exclusive or."""

    def generate(context, builder, signature, arguments):
        wide = [builder.zext(argument, _I128) for argument in arguments]
        product = builder.mul(*wide)
        high = builder.trunc(builder.lshr(product, ir.Constant(_I128, 64)), _I64)
        return builder.xor(builder.trunc(product, _I64), high)

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def multiply_high(typing_context, a, b):
    """Upper half of the 128-bit product of two uint64."""

    def generate(context, builder, signature, arguments):
        product = builder.mul(*(builder.zext(argument, _I128) for argument in arguments))
        return builder.trunc(builder.lshr(product, ir.Constant(_I128, 64)), _I64)

    return types.uint64(types.uint64, types.uint64), generate


@intrinsic
def swap_bytes(typing_context, value):
    """uint64 with its bytes in reverse order."""

    def generate(context, builder, signature, arguments):
        return builder.bswap(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def trailing_zeros(typing_context, value):
    """Number of zero bits below the lowest one bit: uint64 -> int64; 64 for zero."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def count_ones(typing_context, value):
    """Number of one bits: uint64 -> int64."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


def _constant(value):
    return ir.Constant(ir.VectorType(_I8, _LANES), [value] * _LANES)


def _between(builder, vector, first, count):
    return builder.icmp_unsigned("<", builder.sub(vector, _constant(first)), _constant(count))


@intrinsic
def lower_and_classify(typing_context, source, target):
    r"""Lower-case 64 ASCII bytes from one address to another, and classify them.

    Returns three uint64 masks, bit i for byte i: `\w`, `\s`, not ASCII (the other two mean nothing for such a byte).
    """

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(_I8, _LANES)
        raw = builder.load(builder.inttoptr(arguments[0], vector.as_pointer()), align=1)
        upper = builder.zext(_between(builder, raw, ord("A"), 26), vector)
        low = builder.or_(raw, builder.shl(upper, _constant(5)))
        builder.store(low, builder.inttoptr(arguments[1], vector.as_pointer()), align=1)
        word = builder.or_(_between(builder, low, ord("a"), 26), _between(builder, raw, ord("0"), 10))
        word = builder.or_(word, builder.icmp_unsigned("==", raw, _constant(ord("_"))))
        # \t \n \v \f \r, and the separators 0x1C to 0x1F with the space behind them.
        space = builder.or_(_between(builder, raw, 9, 5), _between(builder, raw, 0x1C, 5))
        high = builder.icmp_unsigned(">=", raw, _constant(0x80))
        masks = [builder.bitcast(mask, _I64) for mask in (word, space, high)]
        return context.make_tuple(builder, signature.return_type, masks)

    return types.UniTuple(types.uint64, 3)(types.int64, types.int64), generate


@intrinsic
def utf8_block(typing_context, source):
    """Kinds of 64 bytes in UTF-8.

    Returns six uint64 masks, bit i for byte i: not ASCII; continuations; first bytes of two and more, of three and
    more, of four; bytes that cannot stand where they stand (but for missing and surplus continuations).
    """

    def generate(context, builder, signature, arguments):
        raw = builder.load(builder.inttoptr(arguments[0], ir.VectorType(_I8, _LANES).as_pointer()), align=1)

        def where(comparison, byte):
            return builder.bitcast(builder.icmp_unsigned(comparison, raw, _constant(byte)), _I64)

        def behind(byte):
            return builder.shl(where("==", byte), ir.Constant(_I64, 1))

        high, legal = where(">=", 0x80), where("<=", 0xF4)
        continuation = builder.bitcast(_between(builder, raw, 0x80, 0x40), _I64)
        first, three, four = (builder.and_(where(">=", byte), legal) for byte in (0xC2, 0xE0, 0xF0))
        wrong = builder.and_(high, builder.not_(builder.or_(continuation, first)))
        # Too long for their code points, surrogates, and beyond the last code point.
        for byte, comparison, second in ((0xE0, "<", 0xA0), (0xED, ">=", 0xA0), (0xF0, "<", 0x90), (0xF4, ">=", 0x90)):
            wrong = builder.or_(wrong, builder.and_(behind(byte), where(comparison, second)))
        masks = [high, continuation, first, three, four, wrong]
        return context.make_tuple(builder, signature.return_type, masks)

    return types.UniTuple(types.uint64, 6)(types.int64), generate


@intrinsic
def copy_json_block(typing_context, source, target):
    r"""Copy 64 bytes from one address to another.

    Returns a uint64 mask, bit i for byte i: what ends or interrupts a JSON string, that is `"`, `\`, and control
    characters (below 0x20).
    """

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(_I8, _LANES)
        raw = builder.load(builder.inttoptr(arguments[0], vector.as_pointer()), align=1)
        builder.store(raw, builder.inttoptr(arguments[1], vector.as_pointer()), align=1)
        return builder.bitcast(_json_special(builder, raw), _I64)

    return types.uint64(types.int64, types.int64), generate


@intrinsic
def json_block(typing_context, source):
    """As `copy_json_block`, without the copy."""

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(_I8, _LANES)
        raw = builder.load(builder.inttoptr(arguments[0], vector.as_pointer()), align=1)
        return builder.bitcast(_json_special(builder, raw), _I64)

    return types.uint64(types.int64), generate


def _json_special(builder, raw):
    mask = builder.icmp_unsigned("==", raw, _constant(ord('"')))
    mask = builder.or_(mask, builder.icmp_unsigned("==", raw, _constant(ord("\\"))))
    return builder.or_(mask, builder.icmp_unsigned("<", raw, _constant(0x20)))


@intrinsic
def store64(typing_context, address, value):
    """Write eight bytes, little-endian: int64 address, uint64 value."""

    def generate(context, builder, signature, arguments):
        builder.store(arguments[1], builder.inttoptr(arguments[0], _I64.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.uint64), generate


@intrinsic
def copy32(typing_context, source, target):
    """Copy 32 bytes from one int64 address to another."""

    def generate(context, builder, signature, arguments):
        source, target = (builder.inttoptr(address, _HALF_BLOCK.as_pointer()) for address in arguments)
        builder.store(builder.load(source, align=1), target, align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def clear64(typing_context, address):
    """Write 64 zero bytes at an int64 address."""

    def generate(context, builder, signature, arguments):
        builder.store(_constant(0), builder.inttoptr(arguments[0], ir.VectorType(_I8, _LANES).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64), generate
