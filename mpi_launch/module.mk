mpi_launch_SRC  :=
mpi_launch_DEPS := teacher labeler student common/train common/nn common/device common/coll shards common/image common/base
mpi_launch_LIBS :=
