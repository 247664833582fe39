release/common/image/bmp.o: common/image/bmp.c common/image/image_impl.h \
  common/image/image.h common/base/err.h

common/image/image_impl.h:

common/image/image.h:

common/base/err.h:
