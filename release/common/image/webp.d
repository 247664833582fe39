release/common/image/webp.o: common/image/webp.c \
  common/image/image_impl.h common/image/image.h common/base/err.h

common/image/image_impl.h:

common/image/image.h:

common/base/err.h:
