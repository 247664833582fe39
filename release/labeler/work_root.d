release/labeler/work_root.o: labeler/work_root.c common/base/clock.h \
  common/base/log.h labeler/work_impl.h labeler/work.h common/base/err.h \
  common/base/hash.h common/coll/coll.h labeler/work_table.h

common/base/clock.h:

common/base/log.h:

labeler/work_impl.h:

labeler/work.h:

common/base/err.h:

common/base/hash.h:

common/coll/coll.h:

labeler/work_table.h:
