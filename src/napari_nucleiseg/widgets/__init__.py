"""The screen: the only place with napari, qtpy and superqt."""
