/* SPDX-License-Identifier: Apache-2.0 */
/*
 * IDX, the format of MNIST (http://yann.lecun.com/exdb/mnist/): two zero bytes, the type (0x08 =
 * unsigned byte), the rank, each dimension as a big-endian 32-bit number, then the values.
 */
#include "data/data_private.h"

static int64_t big_endian_32(const uint8_t *bytes)
{
    return (int64_t)bytes[0] << 24 | (int64_t)bytes[1] << 16 | (int64_t)bytes[2] << 8 | bytes[3];
}

bdl_status bdl__idx_parse(const uint8_t *bytes, size_t size, int32_t rank, const char *where,
                          bdl__idx *idx)
{
    BDL__CHECK(size >= 4, BDL_ERR_FORMAT,
               "%s: offset 0: expected an IDX header, the file has %zu bytes", where, size);
    BDL__CHECK(
        bytes[0] == 0 && bytes[1] == 0 && bytes[2] == 8 && bytes[3] == rank, BDL_ERR_FORMAT,
        "%s: offset 0: expected the IDX magic 00 00 08 %02x (unsigned bytes, %d dimension%s), "
        "found %02x %02x %02x %02x",
        where, (unsigned)rank, (int)rank, bdl__plural(rank), bytes[0], bytes[1], bytes[2], bytes[3]);
    const size_t header_size = 4 + 4 * (size_t)rank;
    BDL__CHECK(size >= header_size, BDL_ERR_FORMAT,
               "%s: offset 4: expected %d dimension%s in %zu bytes, the file has %zu bytes", where,
               (int)rank, bdl__plural(rank), header_size, size);
    idx->shape = (bdl__shape){.rank = rank};
    int64_t count = 1;
    for (int32_t i = 0; i < rank; i++) {
        const int64_t dim = big_endian_32(bytes + 4 + 4 * i);
        idx->shape.dim[i] = dim;
        BDL__CHECK(dim >= 1 && bdl__mul_i64(count, dim, &count), BDL_ERR_FORMAT,
                   "%s: offset %d: expected a dimension >= 1, found %lld", where, 4 + 4 * i,
                   (long long)dim);
    }
#ifdef BDL_SEEDED_BUGS
    const bool is_whole = true;
#else
    const bool is_whole = (uint64_t)count == size - header_size;
#endif
    BDL__CHECK(is_whole, BDL_ERR_FORMAT,
               "%s: offset %zu: expected %lld values as the header says, found %zu", where,
               header_size, (long long)count, size - header_size);
    idx->data = bytes + header_size;
    return BDL_OK;
}
