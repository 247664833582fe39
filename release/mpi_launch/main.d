release/mpi_launch/main.o: mpi_launch/main.c common/base/log.h \
  common/base/mem.h common/base/err.h common/base/nearest.h \
  common/coll/coll.h labeler/labeler_verbs.h common/base/verb.h \
  mpi_launch/launch_verbs.h shards/shards_verbs.h \
  student/student_verbs.h teacher/teacher_verbs.h

common/base/log.h:

common/base/mem.h:

common/base/err.h:

common/base/nearest.h:

common/coll/coll.h:

labeler/labeler_verbs.h:

common/base/verb.h:

mpi_launch/launch_verbs.h:

shards/shards_verbs.h:

student/student_verbs.h:

teacher/teacher_verbs.h:
