"""Draws meshes with PyVista, off screen: ``python pyvista_scene.py meshes.npz images.npz``.

A program of its own that imports nothing of this package: a graphics driver may crash its process, and VTK
warns on stderr about displays that nobody asked for.
"""

import os
import sys

if not os.environ.get("DISPLAY"):
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import numpy as np
import pyvista as pv


def draw(source: str, target: str) -> None:
    """Draw every mesh of ``source`` in every view, and write (meshes, views, pixels, pixels, 4) uint8."""
    with np.load(source) as scene:
        right, up, middle = scene["right"], scene["up"], scene["middle"]
        half, pixels = float(scene["half"]), int(scene["pixels"])
        images = []
        for number in range(int(scene["count"])):
            faces = scene[f"faces{number}"]
            cells = np.column_stack([np.full(len(faces), 3, dtype=faces.dtype), faces])
            mesh = pv.PolyData(scene[f"points{number}"].astype(float), faces=cells.ravel())
            mesh["colour"] = scene[f"colours{number}"]
            images.append(_views(mesh, right, up, middle, half, pixels))
    np.savez(target, images=np.array(images, dtype=np.uint8))


def _views(
    mesh: pv.PolyData, right: np.ndarray, up: np.ndarray, middle: np.ndarray, half: float, pixels: int
) -> list[np.ndarray]:
    plotter = pv.Plotter(off_screen=True, window_size=[pixels, pixels], lighting=None)
    plotter.add_light(pv.Light(light_type="headlight", intensity=0.75))
    plotter.add_mesh(
        mesh, scalars="colour", rgb=True, smooth_shading=True, ambient=0.38, diffuse=0.8, specular=0.08
    )
    camera = plotter.camera
    camera.parallel_projection = True
    camera.parallel_scale = half
    images = []
    for across, upward in zip(right, up, strict=True):
        looking = np.cross(upward, across)
        camera.position, camera.focal_point = tuple(middle - 4 * half * looking), tuple(middle)
        camera.up = tuple(upward)
        plotter.renderer.ResetCameraClippingRange()
        plotter.render()
        images.append(np.asarray(plotter.screenshot(None, return_img=True, transparent_background=True)))
    plotter.close()
    return images


if __name__ == "__main__":
    draw(sys.argv[1], sys.argv[2])
