release/labeler/work.o: labeler/work.c labeler/work.h common/base/err.h \
  common/base/hash.h common/coll/coll.h common/base/clock.h \
  common/base/log.h common/base/mem.h labeler/work_impl.h \
  labeler/work_table.h

labeler/work.h:

common/base/err.h:

common/base/hash.h:

common/coll/coll.h:

common/base/clock.h:

common/base/log.h:

common/base/mem.h:

labeler/work_impl.h:

labeler/work_table.h:
