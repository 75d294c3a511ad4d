/* Hashes and checksums. */
#ifndef FIRN_BASE_HASH_H
#define FIRN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* XXH3-64 (xxHash 0.8), the hash of keys, filters and block checksums. */
uint64_t firn_xxh3(const void *data, size_t len);
uint64_t firn_xxh3_seed(const void *data, size_t len, uint64_t seed);

/* CRC-32C (Castagnoli, reflected, RFC 3720 B.4): the object checksum S3 verifies. `crc` is 0 for a
 * fresh start or the value so far. */
uint32_t firn_crc32c(uint32_t crc, const void *data, size_t len);

#endif
