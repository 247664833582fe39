release/labeler/report_read.o: labeler/report_read.c common/base/fs.h \
  common/base/err.h common/base/mem.h labeler/report.h \
  common/base/json.h common/base/hash.h

common/base/fs.h:

common/base/err.h:

common/base/mem.h:

labeler/report.h:

common/base/json.h:

common/base/hash.h:
