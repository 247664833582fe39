release/common/image/image.o: common/image/image.c \
  common/image/image_impl.h common/image/image.h common/base/err.h

common/image/image_impl.h:

common/image/image.h:

common/base/err.h:
