release/common/coll/coll_vigil.o: common/coll/coll_vigil.c \
  common/coll/coll_vigil_impl.h common/coll/coll.h common/base/err.h \
  common/base/clock.h common/base/mem.h

common/coll/coll_vigil_impl.h:

common/coll/coll.h:

common/base/err.h:

common/base/clock.h:

common/base/mem.h:
