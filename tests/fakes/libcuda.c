/* A libcuda.so.1 with no driver behind it, so that cuDNN's compiled plans can be finalised where
 * there is none: a compiled kernel "loads", everything that would need a GPU answers 34
 * (CUDA_ERROR_STUB_LIBRARY). The names are those that cuDNN 9 looks up. */

enum { OK = 0, STUB_LIBRARY = 34, VERSION = 13000 };

/* The loaded library and kernel are told apart from nothing, and never used. */
static int something;

int cuLibraryLoadData(void **library, ...);
int cuLibraryLoadFromFile(void **library, ...);
int cuLibraryGetKernel(void **kernel, ...);
int cuDriverGetVersion(int *version);

int cuLibraryLoadData(void **library, ...)
{
    *library = &something;
    return OK;
}

int cuLibraryLoadFromFile(void **library, ...)
{
    *library = &something;
    return OK;
}

int cuLibraryGetKernel(void **kernel, ...)
{
    *kernel = &something;
    return OK;
}

int cuDriverGetVersion(int *version)
{
    *version = VERSION;
    return OK;
}

#define ANSWERS(name, code)                                                                        \
    int name(void);                                                                                \
    int name(void)                                                                                 \
    {                                                                                              \
        return code;                                                                               \
    }

ANSWERS(cuLibraryUnload, OK)
ANSWERS(cuKernelSetAttribute, OK)
ANSWERS(cuKernelGetAttribute, OK)
ANSWERS(cuCtxGetCurrent, STUB_LIBRARY)
ANSWERS(cuCtxGetDevice, STUB_LIBRARY)
ANSWERS(cuCtxGetLimit, STUB_LIBRARY)
ANSWERS(cuCtxPopCurrent, STUB_LIBRARY)
ANSWERS(cuCtxPushCurrent, STUB_LIBRARY)
ANSWERS(cuDeviceGet, STUB_LIBRARY)
ANSWERS(cuDeviceGetAttribute, STUB_LIBRARY)
ANSWERS(cuDeviceGetCount, STUB_LIBRARY)
ANSWERS(cuDevicePrimaryCtxRelease, STUB_LIBRARY)
ANSWERS(cuDevicePrimaryCtxReset, STUB_LIBRARY)
ANSWERS(cuDevicePrimaryCtxRetain, STUB_LIBRARY)
ANSWERS(cuFuncGetAttribute, STUB_LIBRARY)
ANSWERS(cuFuncSetAttribute, STUB_LIBRARY)
ANSWERS(cuGetErrorName, STUB_LIBRARY)
ANSWERS(cuGetErrorString, STUB_LIBRARY)
ANSWERS(cuGetProcAddress_v2, STUB_LIBRARY)
ANSWERS(cuInit, STUB_LIBRARY)
ANSWERS(cuLaunchCooperativeKernel, STUB_LIBRARY)
ANSWERS(cuLaunchKernel, STUB_LIBRARY)
ANSWERS(cuLaunchKernelEx, STUB_LIBRARY)
ANSWERS(cuLinkAddData, STUB_LIBRARY)
ANSWERS(cuLinkAddData_v2, STUB_LIBRARY)
ANSWERS(cuLinkAddFile_v2, STUB_LIBRARY)
ANSWERS(cuLinkComplete, STUB_LIBRARY)
ANSWERS(cuLinkCreate, STUB_LIBRARY)
ANSWERS(cuLinkCreate_v2, STUB_LIBRARY)
ANSWERS(cuLinkDestroy, STUB_LIBRARY)
ANSWERS(cuMemcpyDtoH_v2, STUB_LIBRARY)
ANSWERS(cuModuleGetFunction, STUB_LIBRARY)
ANSWERS(cuModuleGetGlobal_v2, STUB_LIBRARY)
ANSWERS(cuModuleLoadData, STUB_LIBRARY)
ANSWERS(cuModuleLoadDataEx, STUB_LIBRARY)
ANSWERS(cuModuleLoadFatBinary, STUB_LIBRARY)
ANSWERS(cuModuleUnload, STUB_LIBRARY)
ANSWERS(cuOccupancyMaxActiveBlocksPerMultiprocessor, STUB_LIBRARY)
ANSWERS(cuOccupancyMaxPotentialClusterSize, STUB_LIBRARY)
ANSWERS(cuStreamGetCtx, STUB_LIBRARY)
ANSWERS(cuStreamSynchronize, STUB_LIBRARY)
ANSWERS(cuTensorMapEncodeTiled, STUB_LIBRARY)
