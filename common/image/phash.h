/**
 * A perceptual hash (version 1): 64 bits that small changes of an image (size, quality, a little
 * colour) leave nearly as they are. Images whose hashes differ in few bits look alike.
 *
 * The image is made 32 x 32 (image_resize, bilinear, whatever its aspect) and gray (ITU-R 601 in
 * integers, as Pillow's "L"). Of its DCT-II (orthonormal, basis rounded to 2^-14) the 64 lowest
 * frequencies without the mean are taken, in order of u + v, then u (u along x). Bit 37 i mod 64 is
 * whether coefficient i is larger than the 32nd smallest of the 64: half of the bits are set. The
 * factor 37 spreads neighbours over the hash, so that its parts are alike. Equal pixels give equal
 * hashes on every machine.
 *
 * An image whose 64 coefficients together vary by less than 2 gray levels (root mean square) says
 * nothing: its hash is 0, and no other image's is.
 */
#ifndef PRECEPTOR_PHASH_H
#define PRECEPTOR_PHASH_H

#include <stdint.h>

#include "common/base/err.h"
#include "common/image/image.h"

enum { PHASH_BITS = 64 };

/** Of a decoded image (1 or 3 channels; k's own pixels are fine). RC_NOMEM. */
NODISCARD enum rc phash_image(struct codec *k, const struct image *image, uint64_t *out,
                              struct err *e);

/** Bits that differ. */
static inline int phash_distance(uint64_t a, uint64_t b)
{
    return __builtin_popcountll(a ^ b);
}

#endif
