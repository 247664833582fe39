release/common/coll/coll_nccl.o: common/coll/coll_nccl.c \
  common/base/clock.h common/base/mem.h common/base/err.h \
  common/coll/coll_calls_impl.h common/coll/coll.h \
  common/coll/coll_impl.h common/coll/coll_vigil_impl.h \
  common/device/device.h

common/base/clock.h:

common/base/mem.h:

common/base/err.h:

common/coll/coll_calls_impl.h:

common/coll/coll.h:

common/coll/coll_impl.h:

common/coll/coll_vigil_impl.h:

common/device/device.h:
