release/labeler/work_table.o: labeler/work_table.c labeler/work_table.h \
  common/base/err.h common/base/mem.h

labeler/work_table.h:

common/base/err.h:

common/base/mem.h:
