release/common/image/pnm.o: common/image/pnm.c common/image/image_impl.h \
  common/image/image.h common/base/err.h

common/image/image_impl.h:

common/image/image.h:

common/base/err.h:
