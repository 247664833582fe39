release/common/image/codec.o: common/image/codec.c common/base/mem.h \
  common/base/err.h common/image/image_impl.h common/image/image.h

common/base/mem.h:

common/base/err.h:

common/image/image_impl.h:

common/image/image.h:
