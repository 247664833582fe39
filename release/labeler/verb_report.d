release/labeler/verb_report.o: labeler/verb_report.c common/base/fs.h \
  common/base/err.h common/base/mem.h common/base/opt.h \
  labeler/labeler_verbs.h common/base/verb.h labeler/report.h \
  common/base/json.h common/base/hash.h

common/base/fs.h:

common/base/err.h:

common/base/mem.h:

common/base/opt.h:

labeler/labeler_verbs.h:

common/base/verb.h:

labeler/report.h:

common/base/json.h:

common/base/hash.h:
