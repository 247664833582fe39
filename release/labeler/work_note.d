release/labeler/work_note.o: labeler/work_note.c common/base/log.h \
  labeler/work_impl.h labeler/work.h common/base/err.h \
  common/base/hash.h common/coll/coll.h labeler/work_table.h

common/base/log.h:

labeler/work_impl.h:

labeler/work.h:

common/base/err.h:

common/base/hash.h:

common/coll/coll.h:

labeler/work_table.h:
