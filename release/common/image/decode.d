release/common/image/decode.o: common/image/decode.c \
  common/image/image_impl.h common/image/image.h common/base/err.h

common/image/image_impl.h:

common/image/image.h:

common/base/err.h:
