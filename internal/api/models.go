package api

import (
	"fmt"
	"net/http"
	"slices"
)

func (a *api) listModels(w http.ResponseWriter, r *http.Request, _ string) error {
	names, err := a.modelNames(r)
	if err != nil {
		return err
	}
	data := make([]modelShape, 0, len(names))
	for _, name := range names {
		data = append(data, shapeModel(name))
	}
	writeJSON(w, http.StatusOK, shapeList(data, false, func(m modelShape) string { return m.ID }))
	return nil
}

func (a *api) retrieveModel(w http.ResponseWriter, r *http.Request, _ string) error {
	names, err := a.modelNames(r)
	if err != nil {
		return err
	}
	name := r.PathValue("id")
	if !slices.Contains(names, name) {
		return &refusalError{
			status: http.StatusNotFound, param: "model", code: "model_not_found",
			message: fmt.Sprintf("The model '%s' does not exist.", clip(name)),
		}
	}
	writeJSON(w, http.StatusOK, shapeModel(name))
	return nil
}

// modelNames returns the models that the deployment names: those of its
// configuration, and then the patterns that are names.
func (a *api) modelNames(r *http.Request) ([]string, error) {
	names := slices.Clone(a.config.Models)
	if a.Models == nil {
		return names, nil
	}
	table, err := a.Models(r.Context())
	if err != nil {
		return nil, err
	}
	for _, name := range table.Names() {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

func shapeModel(name string) modelShape {
	return modelShape{ID: name, Object: "model", Created: 0, OwnedBy: "musketry"}
}
