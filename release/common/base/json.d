release/common/base/json.o: common/base/json.c common/base/json.h \
  common/base/err.h common/base/hash.h common/base/fs.h \
  common/base/mem.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/fs.h:

common/base/mem.h:
