release/labeler/report_page.o: labeler/report_page.c common/base/clock.h \
  common/base/mem.h common/base/err.h labeler/report.h \
  common/base/json.h common/base/hash.h

common/base/clock.h:

common/base/mem.h:

common/base/err.h:

labeler/report.h:

common/base/json.h:

common/base/hash.h:
