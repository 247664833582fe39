release/common/coll/coll_calls.o: common/coll/coll_calls.c \
  common/coll/coll_calls_impl.h common/coll/coll.h common/base/err.h

common/coll/coll_calls_impl.h:

common/coll/coll.h:

common/base/err.h:
