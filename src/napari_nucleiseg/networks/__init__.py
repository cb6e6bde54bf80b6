"""The networks that can be trained: one module and one line each, in this order."""

# isort: off
from napari_nucleiseg.networks import generalist as generalist
from napari_nucleiseg.networks import nuclei as nuclei
from napari_nucleiseg.networks import unet as unet
from napari_nucleiseg.networks import mobilenet as mobilenet
