release/common/image/resize.o: common/image/resize.c \
  common/image/image_impl.h common/image/image.h common/base/err.h

common/image/image_impl.h:

common/image/image.h:

common/base/err.h:
