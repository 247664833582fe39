release/common/image/jpeg.o: common/image/jpeg.c common/base/mem.h \
  common/base/err.h common/image/image_impl.h common/image/image.h

common/base/mem.h:

common/base/err.h:

common/image/image_impl.h:

common/image/image.h:
