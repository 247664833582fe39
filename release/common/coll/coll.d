release/common/coll/coll.o: common/coll/coll.c common/coll/coll.h \
  common/base/err.h common/base/log.h common/coll/coll_impl.h \
  common/device/device.h

common/coll/coll.h:

common/base/err.h:

common/base/log.h:

common/coll/coll_impl.h:

common/device/device.h:
