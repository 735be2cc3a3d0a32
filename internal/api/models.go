package api

import (
	"fmt"
	"net/http"
	"slices"
)

func (a *api) listModels(w http.ResponseWriter, _ *http.Request, _ string) error {
	data := make([]modelShape, 0, len(a.config.Models))
	for _, name := range a.config.Models {
		data = append(data, shapeModel(name))
	}
	writeJSON(w, http.StatusOK, shapeList(data, false, func(m modelShape) string { return m.ID }))
	return nil
}

func (a *api) retrieveModel(w http.ResponseWriter, r *http.Request, _ string) error {
	name := r.PathValue("id")
	if !slices.Contains(a.config.Models, name) {
		return &refusalError{
			status: http.StatusNotFound, param: "model", code: "model_not_found",
			message: fmt.Sprintf("The model '%s' does not exist.", clip(name)),
		}
	}
	writeJSON(w, http.StatusOK, shapeModel(name))
	return nil
}

func shapeModel(name string) modelShape {
	return modelShape{ID: name, Object: "model", Created: 0, OwnedBy: "musketry"}
}
