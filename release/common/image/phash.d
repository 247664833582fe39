release/common/image/phash.o: common/image/phash.c common/image/phash.h \
  common/base/err.h common/image/image.h

common/image/phash.h:

common/base/err.h:

common/image/image.h:
