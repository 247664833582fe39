common/device_SRC  := cpu_conv.c cpu_dnnl.c cpu_gate.c cpu_join.c cpu_loss.c cpu_map.c cpu_norm.c cpu_pool.c cpu_quant.c device.c \
                      device_cpu.c device_host.c device_op.c device_quant.c device_ref.c ref_conv.c ref_loss.c \
                      ref_map.c ref_pool.c ref_quant.c
common/device_DEPS := common/base
common/device_LIBS := -ldnnl -lm

# The cuda backend is built where the CUDA toolkit with cuDNN is found. HAVE_CUDA=0 leaves it out.
CUDA_HOME ?= /usr/local/cuda
CUDA_LIB  := $(firstword $(wildcard $(CUDA_HOME)/lib64 $(CUDA_HOME)/lib))
HAVE_CUDA ?= $(if $(and $(wildcard $(CUDA_HOME)/bin/nvcc),$(wildcard $(CUDA_HOME)/include/cudnn.h),$(wildcard $(CUDA_LIB)/libcudnn.so)),1,0)
# One stamp for each value, so that a changed value compiles the registry again.
$(B)/have_cuda_$(HAVE_CUDA):
	@mkdir -p $(@D)
	@rm -f $(B)/have_cuda_*
	@touch $@
$(B)/common/device/device.o: CPPFLAGS += -DHAVE_CUDA=$(HAVE_CUDA)
$(B)/common/device/device.o: $(B)/have_cuda_$(HAVE_CUDA)

ifeq ($(HAVE_CUDA),1)
common/device_SRC  += cuda_cache.c cuda_desc.c cuda_described.c cuda_engine.c cuda_graph.c cuda_time.c \
                      device_cuda.c
CUDA_KERNELS := cuda_conv cuda_kernels cuda_loss cuda_map cuda_norm cuda_pool
common/device_OBJS := $(CUDA_KERNELS:%=$(BUILD)/cuda/%.o)
# Never libcuda: a machine without a driver must be able to start the program.
common/device_LIBS += -L$(CUDA_LIB) -Wl,-rpath,$(CUDA_LIB) -lcudnn -lcudart
$(B)/common/device/cuda_desc.o $(B)/common/device/cuda_engine.o $(B)/common/device/cuda_graph.o \
    $(B)/common/device/cuda_time.o $(B)/common/device/device_cuda.o: CPPFLAGS += -isystem $(CUDA_HOME)/include

# The same objects for every mode. The options let a C program link it without libstdc++.
CUDA_ARCHS := 80 90 100 120
NVCCFLAGS  := -std=c++17 -O3 -I. -Xptxas -v --threads 2 \
              -Xcompiler -fno-threadsafe-statics,-fno-exceptions,-fno-asynchronous-unwind-tables \
              $(foreach a,$(CUDA_ARCHS),-gencode arch=compute_$(a),code=sm_$(a)) \
              -gencode arch=compute_80,code=compute_80
$(BUILD)/cuda/%.o: common/device/%.cu common/device/cuda_kernels.cuh common/device/cuda_impl.h common/device/device_impl.h common/device/device.h
	@mkdir -p $(@D)
	@echo "  NVCC $*"
	$(Q)$(CUDA_HOME)/bin/nvcc $(NVCCFLAGS) -c -o $@ $< 2>$@.log || { cat $@.log; false; }
endif
