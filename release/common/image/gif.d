release/common/image/gif.o: common/image/gif.c common/image/image_impl.h \
  common/image/image.h common/base/err.h

common/image/image_impl.h:

common/image/image.h:

common/base/err.h:
