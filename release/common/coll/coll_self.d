release/common/coll/coll_self.o: common/coll/coll_self.c \
  common/base/mem.h common/base/err.h common/coll/coll_impl.h \
  common/coll/coll.h

common/base/mem.h:

common/base/err.h:

common/coll/coll_impl.h:

common/coll/coll.h:
