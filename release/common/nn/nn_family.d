release/common/nn/nn_family.o: common/nn/nn_family.c common/nn/family.h

common/nn/family.h:
