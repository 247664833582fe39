release/common/base/err.o: common/base/err.c common/base/err.h

common/base/err.h:
