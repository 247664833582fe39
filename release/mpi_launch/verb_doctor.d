release/mpi_launch/verb_doctor.o: mpi_launch/verb_doctor.c \
  common/base/json.h common/base/err.h common/base/hash.h \
  common/base/mem.h common/base/opt.h common/coll/coll.h \
  common/device/device.h mpi_launch/launch_verbs.h common/base/verb.h \
  mpi_launch/probe.h

common/base/json.h:

common/base/err.h:

common/base/hash.h:

common/base/mem.h:

common/base/opt.h:

common/coll/coll.h:

common/device/device.h:

mpi_launch/launch_verbs.h:

common/base/verb.h:

mpi_launch/probe.h:
