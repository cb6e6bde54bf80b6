"""Small ND2 and LIF files, written as the microscopes' own programs lay them out.

No real file is small and free enough to be kept here. What is written is the least that
the libraries ask for.
"""

import struct

_LIF_DIMENSIONS = {"X": 1, "Y": 2, "Z": 3, "T": 4}


def write_lif(path, images, *, step=0.5e-6):
    """Write arrays, each with its axes, as the images of a LIF file.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    images : list of tuple
        Axes such as "CYX", with the fastest last ("YXS" is colour), and the array.
    step : float
        From pixel to pixel, metres.
    """
    elements, blocks = [], []
    for number, (axes, data) in enumerate(images):
        item, strides = data.itemsize, dict(zip(axes, data.strides, strict=True))
        sizes = dict(zip(axes, data.shape, strict=True))
        along = "S" if "S" in axes else "C"
        # Blue comes first in the file.
        tags = [3, 2, 1] if along == "S" else [0] * sizes.get("C", 1)
        channels = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="{tag}" '
            f'Resolution="{8 * item}" NameOfMeasuredQuantity="" Min="0" Max="1" '
            f'Unit="" LUTName="" IsLUTInverted="0" '
            f'BytesInc="{i * strides.get(along, 0)}" BitInc="0"/>'
            for i, tag in enumerate(tags)
        )
        dimensions = "".join(
            f'<DimensionDescription DimID="{_LIF_DIMENSIONS[a]}" '
            f'NumberOfElements="{sizes[a]}" Origin="0" '
            f'Length="{(sizes[a] - 1) * step}" Unit="m" BytesInc="{strides[a]}" '
            f'BitInc="0"/>'
            for a in axes[::-1]
            if a in _LIF_DIMENSIONS
        )
        elements.append(
            f'<Element Name="Series{number}" UniqueID="{number}"><Data><Image>'
            f"<ImageDescription><Channels>{channels}</Channels>"
            f"<Dimensions>{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{data.nbytes}" MemoryBlockID="MemBlock_{number}"/>'
            "</Element>"
        )
        name = f"MemBlock_{number}"
        head = struct.pack("<BQBI", 0x2A, data.nbytes, 0x2A, len(name))
        head += name.encode("utf-16-le")
        blocks.append(struct.pack("<II", 0x70, len(head)) + head + data.tobytes())
    text = (
        '<LMSDataContainerHeader Version="2"><Element Name="a"><Children>'
        f"{''.join(elements)}</Children></Element></LMSDataContainerHeader>"
    )
    head = struct.pack("<IIBI", 0x70, 2 * len(text) + 5, 0x2A, len(text))
    path.write_bytes(head + text.encode("utf-16-le") + b"".join(blocks))


_ND2_MAGIC, _ND2_PAGE = 0x0ABECEDA, 4096


def write_nd2(path, planes, *, step=0.65):
    """Write a stack ``(z, y, x, c)`` of 16 bits as an ND2 file of version 2.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    planes : numpy.ndarray
        The stack.
    step : float
        From pixel to pixel, micrometres; planes are twice as far apart.
    """
    count, height, width, channels = planes.shape
    attributes = {
        "uiWidth": width,
        "uiWidthBytes": width * channels * 2,
        "uiHeight": height,
        "uiComp": channels,
        "uiBpcInMemory": 16,
        "uiBpcSignificant": 16,
        "uiSequenceCount": count,
        "uiTileWidth": width,
        "uiTileHeight": height,
        "eCompression": 2,
    }
    stack = {"uiCount": count, "dZLow": 0.0, "dZHigh": 0.0, "dZStep": 2 * step}
    plane = {"uiCompCount": 1, "pFluorescentProbe": {"m_uiColor": 255}}
    each = {f"a{i}": plane | {"uiSampleIndex": i} for i in range(channels)}
    metadata = {
        "bCalibrated": True,
        "dCalibration": step,
        "sPicturePlanes": {"uiCount": channels, "sPlaneNew": each},
    }
    chunks = {
        "ImageAttributes!": _variant(attributes),
        "ImageMetadata!": _variant({"eType": 4, "uLoopPars": stack}),
        "ImageMetadataSeq|0!": _variant(metadata),
    }
    frames = {f"ImageDataSeq|{i}!": planes[i].tobytes() for i in range(count)}
    out = bytearray()
    start = b"ND2 FILE SIGNATURE CHUNK NAME01!"
    out += struct.pack("<IIQ", _ND2_MAGIC, 32, 64) + start + b"Ver2.1".ljust(64, b"\0")
    places = {}
    for name, content in chunks.items():
        places[name] = len(out), len(content)
        out += struct.pack("<IIQ", _ND2_MAGIC, len(name), len(content))
        out += name.encode() + content
    for name, content in frames.items():
        # Eight bytes of time come before the pixels, which begin a page.
        out += bytes(-len(out) % _ND2_PAGE)
        room = _ND2_PAGE - 24
        places[name] = len(out), len(content) + 8
        out += struct.pack("<IIQ", _ND2_MAGIC, room, len(content) + 8)
        out += name.encode().ljust(room, b"\0") + bytes(8) + content
    where, end = len(out), b"ND2 CHUNK MAP SIGNATURE 0000001!"
    table = b"".join(
        name.encode() + struct.pack("<QQ", *place) for name, place in places.items()
    )
    table += end + struct.pack("<Q", where)
    start = b"ND2 FILEMAP SIGNATURE NAME 0001!"
    out += struct.pack("<IIQ", _ND2_MAGIC, len(start), len(table)) + start + table
    path.write_bytes(out)


def _variant(values):
    """Return a dictionary as Nikon's XML."""

    def tags(values):
        kinds = {bool: "bool", int: "lx_uint32", float: "double", str: "CLxStringW"}
        return "".join(
            f'<{name} runtype="CLxLiteVariantW">{tags(value)}</{name}>'
            if isinstance(value, dict)
            else f'<{name} runtype="{kinds[type(value)]}" value="{value}"/>'
            for name, value in values.items()
        )

    return f'<variant version="1.0">{tags(values)}</variant>'.encode()
