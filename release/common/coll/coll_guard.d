release/common/coll/coll_guard.o: common/coll/coll_guard.c \
  common/base/log.h common/base/mem.h common/base/err.h \
  common/coll/coll_vigil_impl.h common/coll/coll.h

common/base/log.h:

common/base/mem.h:

common/base/err.h:

common/coll/coll_vigil_impl.h:

common/coll/coll.h:
