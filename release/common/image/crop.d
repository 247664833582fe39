release/common/image/crop.o: common/image/crop.c \
  common/image/image_impl.h common/image/image.h common/base/err.h

common/image/image_impl.h:

common/image/image.h:

common/base/err.h:
