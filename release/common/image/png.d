release/common/image/png.o: common/image/png.c common/base/mem.h \
  common/base/err.h common/image/image_impl.h common/image/image.h

common/base/mem.h:

common/base/err.h:

common/image/image_impl.h:

common/image/image.h:
