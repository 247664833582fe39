release/common/image/augment.o: common/image/augment.c \
  common/image/augment_impl.h common/image/augment.h common/base/rng.h \
  common/base/hash.h common/base/err.h common/image/image.h \
  common/image/image_impl.h

common/image/augment_impl.h:

common/image/augment.h:

common/base/rng.h:

common/base/hash.h:

common/base/err.h:

common/image/image.h:

common/image/image_impl.h:
