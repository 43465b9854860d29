"""Which files are images: endings that are read here, and what to do about those that are not."""

import contextlib

from PIL import Image, features

_READ = (
    ".jpg .jpeg .jpe .jfif .jif .mpo .png .apng .bmp .dib .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .pfm .tga .icb "
    ".vda .vst .pcx .ico .cur .icns .sgi .rgb .rgba .bw .ras .qoi .psd .dds .xbm .xpm"
)
ENDINGS = set(_READ.split())
JPEG_2000 = {".jp2", ".j2k", ".jpc", ".j2c", ".jpf", ".jpx"}
READERS = {".heic": "pillow-heif", ".heif": "pillow-heif", ".hif": "pillow-heif", ".avif": "-U pillow"}
READERS |= {".avifs": "-U pillow", ".jxl": "pillow-jxl-plugin"}  # ending -> what pip installs to read it
READERS |= dict.fromkeys(JPEG_2000, "-U pillow")
_OTHERS = (  # images that nothing here reads: raw files of cameras, drawings, scientific and layered formats
    ".dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .raw .svg .svgz .eps .ai .pdf .wmf "
    ".emf .exr .hdr .dcm .dicom .nii .nrrd .mha .fits .fit .fts .xcf .psb .kra .djvu .djv .jxr .wdp .pam .czi .lif "
    ".nd2 .svs .ndpi"
)
CONVERTED = set(_OTHERS.split())
ARRAYS = {".npy", ".npz", ".mat", ".h5", ".hdf5", ".pt", ".pkl", ".parquet", ".tfrecord", ".arrow", ".lmdb", ".mdb"}
PACKED = {".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"}

if "avif" in features.modules and features.check("avif"):  # Pillow 11.3 brought it, and can be built without
    ENDINGS |= {".avif", ".avifs"}
if features.check("jpg_2000"):
    ENDINGS |= JPEG_2000
with contextlib.suppress(ImportError):  # phones write HEIC, which Pillow reads by a package of its own
    import pillow_heif

    pillow_heif.register_heif_opener()
    ENDINGS |= {".heic", ".heif", ".hif"}
with contextlib.suppress(ImportError):
    import pillow_jxl  # noqa: F401

    ENDINGS.add(".jxl")
Image.init()
ENDINGS &= {*Image.registered_extensions(), ".jif", ".hif", ".jxl"}  # an older Pillow may lack one


def fixes(ignored) -> list[str]:
    """What would let files of these endings be used, a phrase for each kind of fix."""
    said = []
    if installed := sorted({READERS[ending] for ending in ignored if ending in READERS}):
        said.append(f"to read them: {', '.join(f'pip install {name}' for name in installed)}")
    ways = ((CONVERTED, "convert {} to PNG or TIFF"), (ARRAYS, "save the images in {} as PNG"), (PACKED, "unpack {}"))
    for kinds, way in ways:
        if found := sorted(ending for ending in ignored if ending in kinds):
            said.append(way.format(" ".join(found[:4])))
    return said
